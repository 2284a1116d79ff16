//! The challenge's text files: a record of one stay, and the outcomes of a set.

/// What was recorded of one stay.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// Its number.
    pub id: u32,
    /// In the file's order, which is that of time.
    pub events: Vec<Event>,
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
    /// Reads `Time,Parameter,Value` lines, the first of which gives the record's number, and keeps the values of
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
        for (i, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let expected = |what: &str| format!("line {}: expected {what}", i + 1);
            let mut cells = line.trim().split(',');
            let (Some(time), Some(variable), Some(value), None) =
                (cells.next(), cells.next(), cells.next(), cells.next())
            else {
                return Err(expected("three cells"));
            };
            let minute = minutes(time).ok_or_else(|| expected("a time such as 07:30"))?;
            let value: f64 = value.parse().map_err(|_| expected("a number as value"))?;
            if !value.is_finite() {
                return Err(expected("a finite number as value"));
            }
            if variable == "RecordID" {
                id = Some(value as u32);
            } else if let Ok(variable) = variables.binary_search(&variable) {
                events.push(Event {
                    minute,
                    variable,
                    value,
                });
            }
        }
        let id = id.ok_or("there is no RecordID")?;
        Ok(Self { id, events })
    }

    /// The first value of a variable that is known once, at admission.
    pub fn once(&self, variable: usize) -> Option<f64> {
        let first = self.events.iter().find(|event| event.variable == variable);
        first.map(|event| event.value)
    }
}

fn minutes(time: &str) -> Option<usize> {
    let (hours, minutes) = time.split_once(':')?;
    Some(hours.parse::<usize>().ok()? * 60 + minutes.parse::<usize>().ok()?)
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
