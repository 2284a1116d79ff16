//! Dates and times as the tables write them, in seconds since 1970 of a calendar without time zones.
//!
//! Dates are shifted per patient into the future, so only differences mean anything.

/// Seconds of a minute.
pub(super) const MINUTE: i64 = 60;
/// Seconds of a day.
pub(super) const DAY: i64 = 24 * 60 * MINUTE;

/// `2180-05-06 22:23:00` or `2180-05-06` (midnight); `None` for anything else, days that no calendar has included.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let seconds = match time {
        None => 0,
        Some(time) => {
            let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
            if hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            (hour * 60 + minute) * MINUTE + second
        }
    };
    Some(days_since_1970(year, month, day) * DAY + seconds)
}

/// The year of a date or time that [`parse`] accepts.
pub(super) fn year(text: &str) -> Option<i64> {
    parse(text)?;
    text.get(..4)?.parse().ok()
}

/// Seconds since 1970 as the tables write a time, `2180-05-06 22:23:00`: what [`parse`] reads, for years of four digits.
pub(super) fn text(seconds: i64) -> String {
    let within = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (within / 3600, within / MINUTE % 60, within % MINUTE);
    format!("{} {hour:02}:{minute:02}:{second:02}", date_text(seconds))
}

/// The date of [`text`].
pub(super) fn date_text(seconds: i64) -> String {
    let (year, month, day) = date(seconds.div_euclid(DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of a number of days since 1970: [`days_since_1970`] undone.
fn date(days: i64) -> (i64, i64, i64) {
    // Years that start in March, counted from 0; the estimate is too high by the leap days.
    let days = days + 719_468;
    let start = |year: i64| year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let mut year = days.div_euclid(365);
    while start(year) > days {
        year -= 1;
    }
    let of_year = days - start(year);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let shifted = (month + 2) % 12 + 1;
    (if shifted <= 2 { year + 1 } else { year }, shifted, day)
}

/// The year of a time.
pub(super) fn year_of(seconds: i64) -> i64 {
    date(seconds.div_euclid(DAY)).0
}

/// Numbers of exactly these many digits, between separators.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut found = [0; 3];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar. Years start in March here, so that the day that comes and goes is
/// the last of the year, and 400 years are always 146097 days.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day
        - 1
        - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(parse("1970-01-01"), Some(0));
        assert_eq!(parse("1969-12-31 23:59:59"), Some(-1));
        // date -u -d '2180-05-06 22:23:00' +%s, and a leap day.
        assert_eq!(parse("2180-05-06 22:23:00"), Some(6_637_933_380));
        assert_eq!(parse("2000-02-29"), Some(951_782_400));
        assert_eq!(year("2180-05-06 22:23:00"), Some(2180));
    }

    proptest! {
        #[test]
        fn texts_are_read_back(seconds in -62_000_000_000_i64..250_000_000_000) {
            prop_assert_eq!(parse(&text(seconds)), Some(seconds));
            prop_assert_eq!(parse(&date_text(seconds)), Some(seconds.div_euclid(DAY) * DAY));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let wrong = [
            "",
            "2180",
            "2180-5-6",
            "2180-13-01",
            "2180-00-10",
            "2181-02-29",
            "2100-02-29",
            "06/05/2180",
            "2180-05-06 24:00:00",
            "2180-05-06 22:60:00",
            "2180-05-06 22:23",
            "2180-05-06-07",
            "2180-05-06 ",
            "2180-05-0é",
            "+180-05-06",
            "2180-05-06 22:23:00.5",
        ];
        for text in wrong {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
