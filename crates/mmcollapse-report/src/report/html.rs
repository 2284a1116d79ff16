//! Markdown as HTML, with places to link to.

use std::collections::BTreeSet;

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html::push_html};

/// Text as it stands in HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The places of the page that can be linked to.
#[derive(Default)]
pub(super) struct Places(BTreeSet<String>);

impl Places {
    /// The name of a line of a sheet within a section.
    fn line(section: &str, heading: &str, row: &str) -> String {
        let mut name = String::new();
        for letter in format!("{section} {heading} {row}").chars() {
            if letter.is_alphanumeric() {
                name.extend(letter.to_lowercase());
            } else if !name.ends_with('-') {
                name.push('-');
            }
        }
        name.trim_end_matches('-').to_owned()
    }

    /// The line of a row, by any of its labels, in the first of these sheets of a section that has it, else the section.
    pub(super) fn of(&self, section: &str, headings: &[String], labels: &[String]) -> String {
        let of_heading = |heading: &'_ String| {
            labels
                .iter()
                .map(|row| Self::line(section, heading, row))
                .collect::<Vec<_>>()
        };
        let mut lines = headings.iter().flat_map(of_heading);
        lines
            .find(|name| self.0.contains(name))
            .unwrap_or_else(|| section.to_owned())
    }
}

/// Markdown as HTML, headings `deeper` levels down; HTML in it is shown as text. With a section, each line of a table becomes a
/// place, by its first cell and the heading above it.
pub(super) fn from_markdown(text: &str, deeper: u8, section: Option<(&str, &mut Places)>) -> String {
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
        other => other,
    });
    // Wide tables scroll by themselves.
    let events = events.flat_map(|event| match event {
        Event::Start(Tag::Table(alignment)) => vec![raw("<div class=\"wide\">"), Event::Start(Tag::Table(alignment))],
        Event::End(TagEnd::Table) => vec![Event::End(TagEnd::Table), raw("</div>")],
        other => vec![other],
    });
    let mut events: Vec<Event> = events.collect();
    if let Some((section, places)) = section {
        events = with_places(events, section, places);
    }
    let mut html = String::new();
    push_html(&mut html, events.into_iter());
    html
}

/// Puts a place into the first cell of each line of a table.
fn with_places<'a>(events: Vec<Event<'a>>, section: &str, places: &mut Places) -> Vec<Event<'a>> {
    let text_until = |from: usize, end: &dyn Fn(&Event) -> bool| {
        let inside = events[from..].iter().take_while(|event| !end(event));
        let words = inside.filter_map(|event| match event {
            Event::Text(text) | Event::Code(text) => Some(text.as_ref()),
            _ => None,
        });
        words.collect::<String>()
    };
    let mut with = Vec::with_capacity(events.len());
    let mut heading = String::new();
    let mut first = false;
    for (i, event) in events.iter().enumerate() {
        with.push(event.clone());
        match event {
            Event::Start(Tag::Heading { .. }) => {
                heading = text_until(i, &|event| matches!(event, Event::End(TagEnd::Heading(_))));
            }
            Event::Start(Tag::TableRow) => first = true,
            Event::Start(Tag::TableCell) if first => {
                first = false;
                let row = text_until(i, &|event| matches!(event, Event::End(TagEnd::TableCell)));
                let name = Places::line(section, &heading, &row);
                if !row.is_empty() && places.0.insert(name.clone()) {
                    with.push(Event::Html(format!("<span id=\"{name}\"></span>").into()));
                }
            }
            _ => {}
        }
    }
    with
}

fn raw(html: &'static str) -> Event<'static> {
    Event::Html(CowStr::Borrowed(html))
}
