//! One HTML page that holds everything: verdicts, every table, every figure, where each comes from.
//!
//! It asks for nothing from outside: style, script and figures are in it, so it can be mailed or opened from disk.

use std::fmt::Write as _;

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html::push_html};

use super::results::{Measured, Results};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page, from the text of REPRODUCTION.md and the results.
pub fn html(reproduction: &str, results: &Results) -> String {
    let mut nav = String::from("<li><a href=\"#verdicts\">Verdicts</a></li>");
    let mut body = format!(
        "<section id=\"verdicts\">\n{}</section>\n",
        from_markdown(reproduction, 0)
    );
    for (place, measured) in results.all().enumerate() {
        let _ = write!(nav, "<li><a href=\"#{0}\">{0}</a></li>", escape(&measured.id));
        section(measured, place, &mut body);
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>mmcollapse: what held and what did not</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n\
         <nav aria-label=\"Sections\"><strong>mmcollapse</strong><ul>{nav}</ul></nav>\n<main>\n{body}</main>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

fn section(measured: &Measured, place: usize, body: &mut String) {
    let _ = writeln!(body, "<section id=\"{}\">", escape(&measured.id));
    if let Some(svg) = &measured.figure {
        let _ = writeln!(
            body,
            "<figure role=\"img\" aria-label=\"{}\">{}</figure>",
            escape(measured.title),
            inlined(svg, place)
        );
    }
    body.push_str(&from_markdown(&measured.table, 1));
    body.push_str("</section>\n");
}

/// An SVG among others on one page: its shapes are called apart from theirs, and where it comes from stands in the
/// table's caption.
fn inlined(svg: &str, place: usize) -> String {
    let apart = svg
        .replace("id=\"g", &format!("id=\"f{place}g"))
        .replace("href=\"#g", &format!("href=\"#f{place}g"));
    match (apart.find("<metadata>"), apart.find("</metadata>")) {
        (Some(from), Some(to)) => format!("{}{}", &apart[..from], &apart[to + "</metadata>".len()..]),
        _ => apart,
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
    fn shapes_of_two_figures_are_called_apart() {
        let svg = "<svg><title>a</title><metadata>{\n}</metadata><defs><path id=\"g12\" d=\"m0 0\"/></defs>\
                   <use href=\"#g12\" x=\"1\"/></svg>";
        assert_eq!(
            inlined(svg, 3),
            "<svg><title>a</title><defs><path id=\"f3g12\" d=\"m0 0\"/></defs><use href=\"#f3g12\" x=\"1\"/></svg>"
        );
    }
}
