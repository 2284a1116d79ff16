//! One HTML page that holds everything: verdicts, every table, every figure, where each comes from.
//!
//! It asks for nothing from outside: style, script and figures are in it, so it can be mailed or opened from disk.

use std::collections::HashMap;
use std::fmt::Write as _;

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html::push_html};

use super::results::{Measured, Results};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page, from the text of REPRODUCTION.md and the results.
pub fn html(reproduction: &str, results: &Results) -> String {
    let mut shapes = Shapes::default();
    let mut body = format!(
        "<section id=\"verdicts\">\n{}</section>\n",
        from_markdown(reproduction, 0)
    );
    let mut nav = String::from("<ul><li><a href=\"#verdicts\">Verdicts</a></li></ul>");
    for (heading, group) in [
        ("The paper's data", &results.experiments),
        ("Other data sets", &results.others),
        ("Tuned settings", &results.tuned),
    ] {
        if !group.is_empty() {
            let _ = write!(nav, "<p>{heading}</p><ul>");
            for measured in group {
                let _ = write!(nav, "<li><a href=\"#{0}\">{0}</a></li>", escape(&measured.id));
                section(measured, &mut shapes, &mut body);
            }
            nav.push_str("</ul>");
        }
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>mmcollapse: what held and what did not</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n\
         <nav aria-label=\"Sections\"><strong>mmcollapse</strong>{nav}</nav>\n<main>\n{body}</main>\n\
         {}<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        shapes.defined()
    )
}

fn section(measured: &Measured, shapes: &mut Shapes, body: &mut String) {
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
        body.push_str("<p><strong>Stale</strong>: today's code, spec or data would train other cells.</p>\n");
    }
    body.push_str(&from_markdown(&measured.table, 1));
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

/// Markdown as HTML, headings `deeper` levels down; HTML in it is shown as text.
fn from_markdown(text: &str, deeper: u8) -> String {
    let levels = [
        HeadingLevel::H1,
        HeadingLevel::H2,
        HeadingLevel::H3,
        HeadingLevel::H4,
        HeadingLevel::H5,
        HeadingLevel::H6,
    ];
    let down = |level: HeadingLevel| levels[(level as usize - 1 + usize::from(deeper)).min(levels.len() - 1)];
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).map(|event| match event {
        Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
        Event::Start(Tag::Heading {
            level,
            id,
            classes,
            attrs,
        }) => Event::Start(Tag::Heading {
            level: down(level),
            id,
            classes,
            attrs,
        }),
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(down(level))),
        // The page lies a folder below the text.
        Event::Start(Tag::Link {
            link_type,
            dest_url,
            title,
            id,
        }) if !dest_url.contains(':') && !dest_url.starts_with('#') => Event::Start(Tag::Link {
            link_type,
            dest_url: format!("../{dest_url}").into(),
            title,
            id,
        }),
        // Wide tables scroll by themselves.
        other => other,
    });
    let events = events.flat_map(|event| match event {
        Event::Start(Tag::Table(alignment)) => vec![raw("<div class=\"wide\">"), Event::Start(Tag::Table(alignment))],
        Event::End(TagEnd::Table) => vec![Event::End(TagEnd::Table), raw("</div>")],
        other => vec![other],
    });
    let mut html = String::new();
    push_html(&mut html, events);
    html
}

fn raw(html: &'static str) -> Event<'static> {
    Event::Html(CowStr::Borrowed(html))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
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
