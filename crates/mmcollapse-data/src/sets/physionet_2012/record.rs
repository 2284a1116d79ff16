//! The challenge's text files: a record of one stay, and the outcomes of a set.

/// Minutes of a record.
const LONGEST: usize = 48 * 60;

/// What was recorded of one stay.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// Its number.
    pub id: u32,
    /// By time, variable and value, in whatever order the file has them.
    pub events: Vec<Event>,
    /// Rows below the heading.
    pub rows: u64,
}

/// A value of a variable.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    /// Since admission.
    pub minute: usize,
    /// Its place in the list that [`Record::parse`] was given.
    pub variable: usize,
    pub value: f64,
}

impl Record {
    /// Reads `Time,Parameter,Value` lines, one of which gives the record's number, and keeps the values of
    /// `variables`, which are in alphabetical order.
    ///
    /// # Errors
    /// The line and what is expected there, not what is there.
    pub fn parse(text: &str, variables: &[&str]) -> Result<Self, String> {
        let mut lines = text.lines().enumerate();
        let heading = lines.next().map(|(_, line)| line.trim());
        if heading != Some("Time,Parameter,Value") {
            return Err("line 1: expected `Time,Parameter,Value`".to_owned());
        }
        let mut events = Vec::new();
        let mut id = None;
        let mut rows = 0;
        for (i, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            rows += 1;
            let expected = |what: &str| format!("line {}: expected {what}", i + 1);
            let mut cells = line.trim().split(',');
            let (Some(time), Some(variable), Some(value), None) =
                (cells.next(), cells.next(), cells.next(), cells.next())
            else {
                return Err(expected("three cells"));
            };
            let minute = minutes(time).ok_or_else(|| expected("a time from 00:00 to 48:00"))?;
            if variable == "RecordID" {
                let number = value.parse().map_err(|_| expected("a whole number as RecordID"))?;
                if id.replace(number).is_some_and(|known| known != number) {
                    return Err(expected("one RecordID, got a second one"));
                }
                continue;
            }
            let value: f64 = value.parse().map_err(|_| expected("a number as value"))?;
            if !value.is_finite() {
                return Err(expected("a finite number as value"));
            }
            if let Ok(variable) = variables.binary_search(&variable) {
                events.push(Event {
                    minute,
                    variable,
                    value,
                });
            }
        }
        let id = id.ok_or("there is no RecordID")?;
        events.sort_by(|a, b| {
            let key = |event: &Event| (event.minute, event.variable);
            key(a).cmp(&key(b)).then(a.value.total_cmp(&b.value))
        });
        Ok(Self { id, events, rows })
    }

    /// Leaves out values that are not `valid` (of a variable, a value), and makes several of one variable at one minute into
    /// their mean: nothing says which of them is later. How many were not valid, and how many went into a mean.
    pub fn settle(&mut self, valid: impl Fn(usize, f64) -> bool) -> (u64, u64) {
        let n = self.events.len();
        self.events.retain(|event| valid(event.variable, event.value));
        let kept = self.events.len();
        let at_once = |a: &Event, b: &Event| (a.minute, a.variable) == (b.minute, b.variable);
        let mean = |events: &[Event]| {
            let first = events.first()?;
            let sum: f64 = events.iter().map(|event| event.value).sum();
            Some(Event {
                value: sum / events.len() as f64,
                ..first.clone()
            })
        };
        self.events = self.events.chunk_by(at_once).filter_map(mean).collect();
        ((n - kept) as u64, (kept - self.events.len()) as u64)
    }

    /// The first value of a variable that is known once. [`Record::settle`] has left valid ones only, so that a `-1` at
    /// admission, which says that nothing is known, does not hide what was measured later.
    pub fn once(&self, variable: usize) -> Option<f64> {
        let first = self.events.iter().find(|event| event.variable == variable);
        first.map(|event| event.value)
    }
}

fn minutes(time: &str) -> Option<usize> {
    let (hours, minutes) = time.split_once(':')?;
    let (hours, minutes): (usize, usize) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours.checked_mul(60)?.checked_add(minutes)?;
    (minutes < 60 && minute <= LONGEST).then_some(minute)
}

/// Of each record of a file of outcomes whether the patient died in hospital.
///
/// # Errors
/// The line and what is expected there.
pub(super) fn outcomes(text: &str) -> Result<Vec<(u32, bool)>, String> {
    let mut lines = text.lines().enumerate();
    let heading: Vec<&str> = lines
        .next()
        .map_or_else(Vec::new, |(_, line)| line.trim().split(',').collect());
    let column = |name: &str| {
        let place = heading.iter().position(|cell| *cell == name);
        place.ok_or_else(|| format!("line 1: expected a column `{name}`"))
    };
    let (id, died) = (column("RecordID")?, column("In-hospital_death")?);
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| {
            let cells: Vec<&str> = line.trim().split(',').collect();
            let id = cells.get(id).and_then(|cell| cell.parse().ok());
            let died = match cells.get(died) {
                Some(&"0") => Some(false),
                Some(&"1") => Some(true),
                _ => None,
            };
            id.zip(died)
                .ok_or_else(|| format!("line {}: expected a record's number and 0 or 1", i + 1))
        })
        .collect()
}
