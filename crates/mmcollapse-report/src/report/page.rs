//! One HTML page that holds everything: verdicts, every table, every figure, where each comes from.
//!
//! It asks for nothing from outside: style, script and figures are in it, so it can be mailed or opened from disk. All of it can
//! be read without scripts; these sort tables and filter tests.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use mmcollapse_probes::Verdict;
use mmcollapse_record::RowName;

use super::claims::Claims;
use super::forest::{class, forest};
use super::html::{Places, escape, from_markdown};
use super::reproduction::{Found, rest, rule};
use super::results::{Measured, Results};
use super::shown::{Numbers, part, verdict};
use super::stated::Standing;
use super::verdict::{Compared, Family, Tested, counts};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page of all claims and results.
pub fn html(claims: &Claims, found: &[Found], results: &Results) -> String {
    let (mut shapes, mut places) = (Shapes::default(), Places::default());
    let mut sections = String::new();
    let mut nav =
        String::from("<ul><li><a href=\"#verdicts\">Verdicts</a></li><li><a href=\"#rule\">The rule</a></li>");
    nav.push_str("<li><a href=\"#printed\">Printed numbers</a></li></ul>");
    for (heading, group) in [
        ("The paper's data", &results.experiments),
        ("Other data sets", &results.others),
        ("Tuned settings", &results.tuned),
    ] {
        if !group.is_empty() {
            let _ = write!(nav, "<p>{heading}</p><ul>");
            for measured in group {
                let _ = write!(nav, "<li><a href=\"#{0}\">{0}</a></li>", escape(&measured.id));
                section(measured, &mut shapes, &mut places, &mut sections);
            }
            nav.push_str("</ul>");
        }
    }
    let overview = Overview {
        results,
        places: &places,
    }
    .of(found);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>mmcollapse: what held and what did not</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n\
         <nav aria-label=\"Sections\"><strong>mmcollapse</strong>{nav}</nav>\n<main>\n{overview}\
         <section id=\"rule\">\n<h2>The rule</h2>\n{}</section>\n<section id=\"printed\">\n{}</section>\n{sections}</main>\n\
         {}<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        from_markdown(&rule(found), 0, None),
        from_markdown(&rest(claims, results), 0, None),
        shapes.defined()
    )
}

/// The claims, a line each, with their tests folded under them.
struct Overview<'a> {
    results: &'a Results,
    places: &'a Places,
}

impl Overview<'_> {
    fn of(&self, found: &[Found]) -> String {
        let stale = |test: &&Tested| test.standing == Standing::Stale;
        let tests = || {
            found
                .iter()
                .flat_map(|(_, families)| families)
                .flat_map(|family| &family.primary)
        };
        let (all, stale) = (tests().count(), tests().filter(stale).count());
        let mut html = format!(
            "<section id=\"verdicts\">\n<h1>What held and what did not</h1>\n<p>{all} tests of what <i>A Closer Look at Multimodal \
             Representation Collapse</i> (ICML 2025) claims of fused modalities, <abbr title=\"cross-modal knowledge \
             distillation\">KD</abbr> and <abbr title=\"explicit basis reallocation\">EBR</abbr>.{}</p>\n",
            match stale {
                0 => String::new(),
                _ => format!(" {stale} of them have no verdict today: their runs are of an earlier revision."),
            }
        );
        html.push_str(
            "<details><summary>How to read it</summary><p>A line a claim: what the paper says, what was found, how many tests were stated \
             before their runs (the others are exploratory), and the intervals of the tests in units of their margins. The dashed line is the \
             margin: the effect that the paper prints, else 1 point or .05 nats. Right of 0 is what the paper claims; of a test of several \
             comparisons the one that decides is drawn. Open a claim for its numbers.</p></details>\n\
             <ul class=\"legend\"><li class=\"supported\">● supported</li><li class=\"contradicted\">× contradicted</li>\
             <li class=\"excluded\">■ excluded: no effect as large as the margin</li><li class=\"inconclusive\">○ inconclusive, or these data cannot decide</li></ul>\n\
             <div id=\"filters\"></div>\n",
        );
        let untested = |found: &&Found| found.1.iter().all(|family| family.primary.is_empty());
        for (claim, families) in found.iter().filter(|found| !untested(found)) {
            let _ = write!(
                html,
                "<details class=\"claim\" id=\"claim-{0}\"><summary><b>{0}</b><span>{1} <small>({2})</small></span><ul>",
                escape(&claim.id),
                escape(&claim.states),
                escape(&claim.place)
            );
            for family in families.iter().filter(|family| !family.primary.is_empty()) {
                let _ = write!(
                    html,
                    "<li><i>{}:</i> {}{}</li>",
                    escape(family.on),
                    counts(&family.primary),
                    stated_before(&family.primary)
                );
            }
            let _ = writeln!(html, "</ul>{}</summary>", forest(families));
            for family in families {
                self.family(family, &mut html);
            }
            html.push_str("</details>\n");
        }
        for (claim, _) in found.iter().filter(untested) {
            let _ = writeln!(
                html,
                "<p>Not tested here yet: <b>{}</b> {} <small>({})</small></p>",
                escape(&claim.id),
                escape(&claim.states),
                escape(&claim.place)
            );
        }
        html + "</section>\n"
    }

    fn family(&self, family: &Family, html: &mut String) {
        let _ = writeln!(html, "<h3>On {}</h3>", escape(family.on));
        if !family.primary.is_empty() {
            html.push_str(
                "<div class=\"wide\"><table class=\"tests\"><thead><tr><th>test</th><th>verdict</th><th>difference</th><th>margin</th>\
                 <th>n</th><th>p</th><th>measured in</th><th>stated</th></tr></thead><tbody>\n",
            );
            for test in &family.primary {
                self.tested(test, family.on, html);
            }
            html.push_str("</tbody></table></div>\n");
        }
        if !family.exploratory.is_empty() {
            html.push_str(
                "<details><summary>Exploratory, without a verdict</summary><div class=\"wide\"><table><thead><tr><th>comparison</th>\
                 <th>measured in</th><th>difference</th><th>n</th><th>p</th></tr></thead><tbody>\n",
            );
            for compared in &family.exploratory {
                let numbers = Numbers::of(compared);
                let _ = writeln!(
                    html,
                    "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    escape(&compared.name),
                    self.place(compared),
                    numbers.effect,
                    numbers.n,
                    escape(&numbers.p)
                );
            }
            html.push_str("</tbody></table></div></details>\n");
        }
    }

    /// The lines of a test, with what the page filters by.
    fn tested(&self, test: &Tested, on: &str, html: &mut String) {
        let Some(first) = test.parts.first() else { return };
        let several = test.parts.len() > 1;
        let class = class(test.verdict);
        let rows = test
            .parts
            .iter()
            .flat_map(|part| [Some(&part.comparison.row), part.comparison.against.as_ref()]);
        let methods: BTreeSet<String> = rows.flatten().flat_map(RowName::methods).collect();
        let methods: Vec<String> = methods.into_iter().map(|method| escape(&method)).collect();
        let open = format!(
            "<tr class=\"{class}\" data-dataset=\"{}\" data-methods=\"{}\" data-verdict=\"{}\">",
            escape(on),
            methods.join("|"),
            class.replace('-', " ")
        );
        let says = escape(&test.test.says);
        let whole = escape(&verdict(test.verdict, first.comparison));
        let stated = test.standing.text();
        if several {
            let _ = writeln!(
                html,
                "{open}<td>{says}: all of</td><td class=\"verdict\">{whole}</td><td></td><td></td><td></td><td></td><td></td>\
                 <td>{stated}</td></tr>"
            );
        }
        for compared in &test.parts {
            let numbers = Numbers::of(compared);
            let (name, verdict, stated) = if several {
                (format!("… {}", escape(&compared.name)), escape(&part(compared)), "")
            } else {
                (says.clone(), whole.clone(), stated)
            };
            let of_whole = if several { "" } else { " class=\"verdict\"" };
            let _ = writeln!(
                html,
                "{open}<td>{name}</td><td{of_whole}>{verdict}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{stated}</td></tr>",
                numbers.effect,
                escape(&numbers.margin),
                numbers.n,
                escape(&numbers.p),
                self.place(compared)
            );
        }
    }

    /// Links to the row and the figure that a comparison rests on.
    fn place(&self, compared: &Compared) -> String {
        let comparison = compared.comparison;
        let what = escape(&comparison.quantity());
        let measured = self
            .results
            .get(&comparison.experiment, comparison.dataset.as_deref(), compared.tuned);
        let Some(measured) = measured else {
            return format!("{}, {what}", escape(&comparison.experiment));
        };
        let protocol = format!("Protocol {}", comparison.protocol);
        let mut headings = vec![format!("{protocol}: {}", comparison.metric.title())];
        if !["accuracy", "auroc"].contains(&comparison.metric.as_str()) {
            headings.push(format!("{protocol}: with all modalities, and with each alone"));
        }
        headings.push(protocol);
        let row = self
            .places
            .of(&measured.id, &headings, &measured.labels(&comparison.row));
        let id = escape(&measured.id);
        let figure = measured
            .figure
            .as_ref()
            .map_or_else(String::new, |_| format!(", <a href=\"#{id}\">figure</a>"));
        format!("<a href=\"#{}\">{id}</a>{figure}: {what}", escape(&row))
    }
}

/// How many of some tests were stated before their runs, where they have verdicts.
fn stated_before(tests: &[Tested]) -> String {
    let judged = || {
        tests
            .iter()
            .filter(|test| !matches!(test.verdict, Verdict::NotTested(_)))
    };
    let before = judged().filter(|test| test.standing == Standing::Confirmatory).count();
    match judged().count() {
        0 => String::new(),
        all if all == before => " <small>stated before</small>".to_owned(),
        _ if before == 0 => " <small>exploratory</small>".to_owned(),
        _ => format!(" <small>{before} stated before</small>"),
    }
}

fn section(measured: &Measured, shapes: &mut Shapes, places: &mut Places, body: &mut String) {
    let _ = writeln!(body, "<section id=\"{}\">", escape(&measured.id));
    if let Some(svg) = &measured.figure {
        let _ = writeln!(
            body,
            "<figure role=\"img\" aria-label=\"{}\">{}</figure>",
            escape(measured.title),
            shapes.inlined(svg)
        );
    }
    if measured.stale {
        let reason = measured.exception.as_ref();
        let reason = reason.map_or_else(String::new, |reason| {
            format!(" Why it is still here: {}.", escape(reason))
        });
        let _ = writeln!(
            body,
            "<p><strong>Stale</strong>: today's code, spec or data would train other cells.{reason}</p>"
        );
    }
    body.push_str(&from_markdown(&measured.table, 1, Some((&measured.id, places))));
    body.push_str("</section>\n");
}

/// The shapes of all figures, each once: letters above all are the same in many.
#[derive(Default)]
struct Shapes {
    /// Number of each outline.
    numbers: HashMap<String, usize>,
    definitions: String,
}

impl Shapes {
    /// An SVG among others on one page: what it defines is the page's, and where it comes from stands in the table's
    /// caption.
    fn inlined(&mut self, svg: &str) -> String {
        let mut own: HashMap<&str, usize> = HashMap::new();
        let mut drawn = String::new();
        let mut rest = svg;
        while let Some((before, shape)) = rest.split_once("<path id=\"") {
            let Some((definition, after)) = shape.split_once("/>") else {
                break;
            };
            drawn.push_str(before);
            let (name, outline) = definition.split_once('"').unwrap_or((definition, ""));
            own.insert(name, self.number(outline));
            rest = after.trim_start_matches('\n');
        }
        drawn.push_str(rest);
        let mut pieces = drawn.split("href=\"#");
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let _ = match piece.split_once('"').map(|(name, after)| (own.get(name), after)) {
                Some((Some(number), after)) => write!(text, "href=\"#s{number}\"{after}"),
                _ => write!(text, "href=\"#{piece}"),
            };
        }
        match (text.find("<metadata>"), text.find("</metadata>")) {
            (Some(from), Some(to)) => format!("{}{}", &text[..from], &text[to + "</metadata>".len()..]),
            _ => text,
        }
    }

    fn number(&mut self, outline: &str) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(outline.to_owned()).or_insert_with(|| {
            let _ = writeln!(self.definitions, "<path id=\"s{next}\"{outline}/>");
            next
        })
    }

    /// An SVG that shows nothing and defines them.
    fn defined(&self) -> String {
        let definitions = &self.definitions;
        format!("<svg width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>\n{definitions}</defs></svg>\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_of_several_figures_is_there_once() {
        let figure = |a: &str, b: &str| {
            format!(
                "<svg><title>a</title><metadata>{{\n}}</metadata><defs>\n<path id=\"{a}\" d=\"m0 0\"/>\n<path id=\"{b}\" d=\"m1 1\"/>\n\
                 </defs><use href=\"#{b}\" x=\"1\"/><use href=\"#{a}\" x=\"2\"/></svg>"
            )
        };
        let mut shapes = Shapes::default();
        let first = shapes.inlined(&figure("g1", "g12"));
        assert_eq!(
            first,
            "<svg><title>a</title><defs>\n</defs><use href=\"#s1\" x=\"1\"/><use href=\"#s0\" x=\"2\"/></svg>"
        );
        // Another figure may call them otherwise.
        assert_eq!(shapes.inlined(&figure("g7", "g1")), first);
        assert_eq!(
            shapes.defined(),
            "<svg width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>\n<path id=\"s0\" d=\"m0 0\"/>\n<path id=\"s1\" d=\"m1 1\"/>\n\
             </defs></svg>\n"
        );
    }
}
