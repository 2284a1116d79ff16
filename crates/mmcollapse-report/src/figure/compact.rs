//! Makes the text of an SVG small: a shape that is drawn many times, as every letter is, is written once.
//!
//! usvg writes each letter of each label as an outline of its own, some 400 bytes. Here outlines are cut into parts
//! that do not overlap, parts that are equal become one `<path>` in `<defs>` and a `<use>` wherever they stood, and
//! what is left is written with relative coordinates.

use std::collections::HashMap;
use std::fmt::Write as _;

/// Coordinates are kept in whole steps of this many to a unit of the drawing.
const STEPS: f64 = 10.0;

/// Two outlines whose points lie at most so many steps apart are one shape: the start of each and each of its points
/// were rounded by half a step.
const TOLERANCE: i64 = 2;

/// A shape with shorter text than this is written where it stands, as `<use>` would be no shorter.
const WORTH_SHARING: usize = 48;

/// The SVG, which usvg wrote with one element a line and absolute coordinates, with each repeated shape written once;
/// lines that are neither paths nor groups stay as they are.
///
/// Shapes are called `g0`, `g1` and so on.
pub fn compact(svg: &str) -> String {
    let lines: Vec<Line> = svg.lines().map(Line::read).collect();
    let shapes = Shapes::of(&lines);
    let mut text = String::with_capacity(svg.len() / 4);
    // Whether each group that is open was written: those without attributes are not.
    let mut groups = Vec::new();
    for line in &lines {
        match line {
            Line::Path { attributes, parts } => shapes.draw(attributes, parts, &mut text),
            Line::Other("<defs/>") => shapes.define(&mut text),
            Line::Other("<g>") => groups.push(false),
            Line::Other("</g>") => {
                if groups.pop() != Some(false) {
                    text.push_str("</g>\n");
                }
            }
            Line::Other(other) => {
                if other.starts_with("<g ") {
                    groups.push(true);
                }
                let _ = writeln!(text, "{other}");
            }
        }
    }
    text
}

/// A line of the SVG.
enum Line<'a> {
    /// `<path>`: its attributes except `d`, and what it draws.
    Path { attributes: String, parts: Vec<Outline> },
    /// Anything else, without indentation.
    Other(&'a str),
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Self {
        let bare = line.trim();
        Self::path(bare).unwrap_or(Self::Other(bare))
    }

    /// `None` if it is no path, or not one as usvg writes it.
    fn path(line: &str) -> Option<Self> {
        let (before, rest) = line.strip_prefix("<path")?.split_once(" d=\"")?;
        let (data, after) = rest.split_once('"')?;
        let outline = Outline::read(data)?;
        let attributes = format!("{before}{}", after.strip_suffix("/>")?);
        // What is only filled looks the same in parts; a line keeps its joints.
        let parts = if attributes.contains(" stroke=\"none\"") && !attributes.contains("opacity") {
            outline.apart()
        } else {
            vec![outline]
        };
        Some(Self::Path {
            attributes: attributes.replace(" stroke=\"none\"", ""),
            parts,
        })
    }
}

/// Contours, as a letter has them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Outline {
    /// `M`, `L`, `Q`, `C` and `Z`, one a command.
    commands: String,
    /// Points of all commands in their order, in steps.
    points: Vec<(i64, i64)>,
}

/// Points that a command takes.
fn points_of(command: char) -> Option<usize> {
    match command {
        'M' | 'L' => Some(1),
        'Q' => Some(2),
        'C' => Some(3),
        'Z' => Some(0),
        _ => None,
    }
}

impl Outline {
    /// Reads `M 0 0 L 1.5 2 Z`.
    fn read(data: &str) -> Option<Self> {
        let mut outline = Self::default();
        let mut words = data.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let command = word.parse().ok()?;
            outline.commands.push(command);
            for _ in 0..points_of(command)? {
                let mut step = || Some((words.next()?.parse::<f64>().ok()? * STEPS).round() as i64);
                outline.points.push((step()?, step()?));
            }
        }
        outline.commands.starts_with('M').then_some(outline)
    }

    /// Commands with their points.
    fn pieces(&self) -> impl Iterator<Item = (char, &[(i64, i64)])> {
        let mut rest = self.points.as_slice();
        self.commands.chars().map(move |command| {
            let (points, after) = rest.split_at(points_of(command).unwrap_or(0));
            rest = after;
            (command, points)
        })
    }

    /// Cut so that contours stay together if the boxes around them overlap, as those of a hole and its rim do.
    fn apart(&self) -> Vec<Self> {
        let mut contours: Vec<Self> = Vec::new();
        for (command, points) in self.pieces() {
            if command == 'M' {
                contours.push(Self::default());
            }
            if let Some(contour) = contours.last_mut() {
                contour.commands.push(command);
                contour.points.extend(points);
            }
        }
        let mut parts: Vec<Self> = Vec::new();
        for contour in contours {
            let mut joined = Self::default();
            let near = parts.extract_if(.., |part| part.overlaps(&contour));
            for part in near.collect::<Vec<_>>().into_iter().chain([contour]) {
                joined.commands.push_str(&part.commands);
                joined.points.extend(part.points);
            }
            parts.push(joined);
        }
        parts
    }

    /// Least and greatest coordinates.
    fn bounds(&self) -> [i64; 4] {
        let far = [i64::MAX, i64::MAX, i64::MIN, i64::MIN];
        self.points.iter().fold(far, |[left, top, right, bottom], &(x, y)| {
            [left.min(x), top.min(y), right.max(x), bottom.max(y)]
        })
    }

    fn overlaps(&self, other: &Self) -> bool {
        let ([left, top, right, bottom], [l, t, r, b]) = (self.bounds(), other.bounds());
        left <= r && l <= right && top <= b && t <= bottom
    }

    /// Where it begins.
    fn start(&self) -> (i64, i64) {
        self.points.first().copied().unwrap_or_default()
    }

    /// Whether it is `other`, moved.
    fn is_moved(&self, other: &Self) -> bool {
        let (a, b) = (self.start(), other.start());
        let near = |a: i64, b: i64| (a - b).abs() <= TOLERANCE;
        self.commands == other.commands
            && self
                .points
                .iter()
                .zip(&other.points)
                .all(|(p, q)| near(p.0 - a.0, q.0 - b.0) && near(p.1 - a.1, q.1 - b.1))
    }

    /// Its path data in relative coordinates, begun at `origin`.
    fn data(&self, origin: (i64, i64)) -> String {
        let mut text = String::new();
        let (mut at, mut start) = ((0, 0), (0, 0));
        let mut last = ' ';
        for (command, points) in self.pieces() {
            let points: Vec<_> = points.iter().map(|p| (p.0 - origin.0, p.1 - origin.1)).collect();
            let name = match (command, points.as_slice()) {
                ('L', &[to]) if to.1 == at.1 => 'h',
                ('L', &[to]) if to.0 == at.0 => 'v',
                _ => command.to_ascii_lowercase(),
            };
            // A command that repeats needs no letter; `m` repeated would be a line.
            if name != last || name == 'm' {
                text.push(name);
            }
            for &(x, y) in &points {
                if name != 'v' {
                    number(x - at.0, &mut text);
                }
                if name != 'h' {
                    number(y - at.1, &mut text);
                }
            }
            at = points.last().copied().unwrap_or(start);
            if command == 'M' {
                start = at;
            }
            last = name;
        }
        text
    }
}

/// Appends a number of steps, in units, with what must stand between it and a number before it.
fn number(steps: i64, text: &mut String) {
    let mut digits = format!("{}", steps as f64 / STEPS);
    if let Some(fraction) = digits.strip_prefix("0.") {
        digits = format!(".{fraction}");
    } else if let Some(fraction) = digits.strip_prefix("-0.") {
        digits = format!("-.{fraction}");
    }
    if !digits.starts_with('-') && text.ends_with(|last: char| last.is_ascii_digit()) {
        text.push(' ');
    }
    text.push_str(&digits);
}

/// What is drawn more than once.
struct Shapes {
    /// Each outline once, in the order of the drawing, with how often it is drawn.
    outlines: Vec<(Outline, usize)>,
    /// Outlines with the same commands, by their place.
    places: HashMap<String, Vec<usize>>,
}

impl Shapes {
    fn of(lines: &[Line]) -> Self {
        let mut shapes = Self {
            outlines: Vec::new(),
            places: HashMap::new(),
        };
        for line in lines {
            if let Line::Path { parts, .. } = line {
                for part in parts {
                    shapes.count(part);
                }
            }
        }
        shapes
    }

    fn count(&mut self, part: &Outline) {
        if let Some(place) = self.find(part) {
            self.outlines[place].1 += 1;
        } else {
            let places = self.places.entry(part.commands.clone()).or_default();
            places.push(self.outlines.len());
            self.outlines.push((part.clone(), 1));
        }
    }

    fn find(&self, part: &Outline) -> Option<usize> {
        let places = self.places.get(&part.commands)?;
        places.iter().copied().find(|&p| self.outlines[p].0.is_moved(part))
    }

    /// The name of a part that is written once and used, `None` for one that is written where it stands.
    fn name(&self, part: &Outline) -> Option<usize> {
        self.find(part).filter(|&place| self.is_shared(place))
    }

    fn is_shared(&self, place: usize) -> bool {
        let (outline, times) = &self.outlines[place];
        *times > 1 && outline.data(outline.start()).len() >= WORTH_SHARING
    }

    fn define(&self, text: &mut String) {
        text.push_str("<defs>\n");
        for (place, (outline, _)) in self.outlines.iter().enumerate().filter(|(p, _)| self.is_shared(*p)) {
            let _ = writeln!(text, "<path id=\"g{place}\" d=\"{}\"/>", outline.data(outline.start()));
        }
        text.push_str("</defs>\n");
    }

    /// The parts of a path, each by its name if it has one; the others stay together.
    fn draw(&self, attributes: &str, parts: &[Outline], text: &mut String) {
        let (mut used, mut rest) = (String::new(), String::new());
        for part in parts {
            if let Some(name) = self.name(part) {
                let _ = write!(used, "<use href=\"#g{name}\" x=\"");
                number(part.start().0, &mut used);
                used.push_str("\" y=\"");
                number(part.start().1, &mut used);
                used.push_str("\"/>");
            } else {
                // The first `m` of a path is as good as absolute, later ones are not.
                let _ = write!(rest, "<path d=\"{}\"/>", part.data((0, 0)));
            }
        }
        match parts {
            [_] => {
                let one = format!("{used}{rest}");
                let _ = writeln!(text, "{}", one.replacen(' ', &format!("{attributes} "), 1));
            }
            _ => {
                let _ = writeln!(text, "<g{attributes}>{used}{rest}</g>");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square of side 40 with a hole at `x`, then a bar right of it.
    fn letter(x: f64) -> String {
        format!(
            "M {x} 10 L {0} 10 L {0} 50 L {x} 50 Z M {1} 20 Q {2} 20 {2} 40 L {1} 40.5 L {4} 30 L {4} 20.5 L {1} 20.5 Z M {3} 10.5 L {3} 90.5 Z",
            x + 40.0,
            x + 10.0,
            x + 30.0,
            x + 60.2,
            x + 5.5
        )
    }

    fn svg(paths: &[String]) -> String {
        let paths = paths.join("\n  ");
        format!("<svg width=\"9\">\n <defs/>\n <g>\n  {paths}\n </g>\n</svg>\n")
    }

    fn filled(data: &str) -> String {
        format!("<path fill=\"#222222\" stroke=\"none\" d=\"{data}\"/>")
    }

    #[test]
    fn a_letter_is_written_once_with_its_hole() {
        let text = compact(&svg(&[filled(&letter(0.5)), filled(&letter(107.4))]));
        assert_eq!(
            text,
            "<svg width=\"9\">\n<defs>\n\
             <path id=\"g0\" d=\"m0 0h40v40h-40zm10 10q20 0 20 20l-20 .5-4.5-10.5v-9.5h4.5z\"/>\n</defs>\n\
             <g fill=\"#222222\"><use href=\"#g0\" x=\".5\" y=\"10\"/><path d=\"m60.7 10.5v80z\"/></g>\n\
             <g fill=\"#222222\"><use href=\"#g0\" x=\"107.4\" y=\"10\"/><path d=\"m167.6 10.5v80z\"/></g>\n</svg>\n"
        );
    }

    #[test]
    fn only_what_rounding_could_have_moved_is_the_same() {
        let bent = |by: f64| {
            filled(&format!(
                "M 0 0 C 1000.5 2000.5 3000.5 4000.5 {} 6000.5 L 7000.5 8000.5 Z",
                5000.5 + by
            ))
        };
        let shapes = |by: f64| compact(&svg(&[bent(0.0), bent(by)])).matches("<use").count();
        assert_eq!(shapes(0.2), 2);
        assert_eq!(shapes(-0.3), 0);
    }

    #[test]
    fn lines_and_what_is_seen_through_stay_whole() {
        let two = "M 0 0 L 1 1 M 100 0 L 101 1";
        for attribute in ["stroke=\"#222222\"", "stroke=\"none\" fill-opacity=\"0.5\""] {
            let text = compact(&svg(&[format!("<path {attribute} d=\"{two}\"/>")]));
            assert!(text.contains("d=\"m0 0l1 1m99-1l1 1\"/>"), "{text}");
        }
    }

    #[test]
    fn what_it_does_not_know_stays_as_it_is() {
        let odd = "<path fill=\"#222222\" stroke=\"none\" d=\"M 0 0 A 1 1 0 0 0 2 2\"/>".to_owned();
        let text = compact(&svg(&[
            "<g opacity=\"0.5\">".to_owned(),
            odd.clone(),
            "</g>".to_owned(),
        ]));
        assert!(
            text.contains(&format!("<g opacity=\"0.5\">\n{odd}\n</g>\n</svg>")),
            "{text}"
        );
    }
}
