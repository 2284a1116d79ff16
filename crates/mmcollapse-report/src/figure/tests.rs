use super::*;
use mmcollapse_record::{Score, Split, Status};

use crate::summary::synthetic::{experiment, metric, record, setting, table4};

fn text(warnings: Vec<String>, origin: &str) -> FigureText<'static> {
    FigureText {
        title: "Table 4: made up",
        preset: "quick",
        warnings,
        provenance: origin.to_owned(),
        ..FigureText::default()
    }
}

fn figure(seeds: u64) -> Figure {
    let paper = table4();
    let summary = Summary::new("table4", &experiment(seeds), &paper).unwrap();
    let warnings = vec![];
    let origin = "Made by: mmcollapse reproduce table4 · version 0.1.0, commit 0123456789ab · data avmnist \
                  0123456789ab · 2 cores";
    Figure::of_scores(&summary, &paper, text(warnings, origin))
}

#[test]
fn the_svg_needs_no_font_and_tells_its_origin() {
    let picture = figure(10).draw("note <&> origin").unwrap();
    assert!(picture.svg.starts_with("<svg viewBox=\"0 0 "), "it can be scaled");
    for absent in ["<text", "font-family", "<image"] {
        assert!(!picture.svg.contains(absent), "{absent}");
    }
    let inside = picture.svg.matches("href=\"#g").count();
    assert_eq!(picture.svg.matches("href").count(), inside, "nothing from outside");
    assert!(picture.svg.contains("<desc>Line and band: mean over n = 10 seeds"));
    assert!(picture.svg.contains("<title>Table 4: made up</title>"));
    assert!(picture.svg.contains("<metadata>note &lt;&amp;&gt; origin</metadata>"));
    assert!(inside > 200, "letters are outlines");
    assert!(picture.svg.len() < 200_000, "{}", picture.svg.len());
}

#[test]
fn equal_records_give_equal_pictures() {
    let (one, two) = (figure(3).draw("").unwrap(), figure(3).draw("").unwrap());
    assert_eq!(one.svg, two.svg);
    assert_eq!(one.png, two.png);
}

#[test]
fn panels_lines_and_marks() {
    let figure = figure(10);
    // Both protocols, each with its zoom: the literal EBR fails.
    assert_eq!(figure.rows.len(), 4);
    let titles: Vec<&str> = figure.rows[0].panels.iter().map(|p| p.title.as_str()).collect();
    assert_eq!(titles, ["Late fusion", "Concat", "ShaSpec"]);
    let names: Vec<&str> = figure.legend.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["no reallocation", "KD", "EBR", "EBR (literal)"]);
    let marks: Vec<usize> = figure.rows[0].panels.iter().map(|p| p.paper.len()).collect();
    assert_eq!(marks, [0, 0, 12]);
    assert_eq!(figure.rows[0].x_ticks, ["95", "90", "85", "80"]);
}

#[test]
fn one_or_two_seeds_have_no_band_and_the_note_says_so() {
    for (seeds, note) in [
        (1, "Mark: one seed, no band"),
        (2, "Line: mean over n ≤ 2 seeds, no band"),
    ] {
        let figure = figure(seeds);
        assert!(figure.note.starts_with(note), "{}", figure.note);
        let lines = figure.rows.iter().flat_map(|r| &r.panels).flat_map(|p| &p.lines);
        let points: Vec<Point> = lines.flat_map(|line| line.points.iter().flatten().copied()).collect();
        assert!(!points.is_empty() && points.iter().all(|point| point.interval.is_none()));
        // What is transparent is a band.
        assert!(!figure.draw("").unwrap().svg.contains("opacity"));
    }
    let figure = figure(10);
    assert!(figure.note.starts_with("Line and band: mean over n = 10 seeds"));
    assert!(figure.draw("").unwrap().svg.contains("opacity"));
}

/// Other shapes of experiment: few panels, many panels, one rate.
#[test]
fn every_shape_of_experiment_is_drawn() {
    let look = std::env::var_os("MMCOLLAPSE_LOOK").map(std::path::PathBuf::from);
    let paper = table4();
    let all = experiment(10);
    let many: Vec<_> = (0..6)
        .flat_map(|i| {
            all.iter()
                .filter(|r| r.row.fusion.name.starts_with("shaspec"))
                .cloned()
                .map(move |mut record| {
                    record.row.fusion.name = format!("shaspec_{i}");
                    record
                })
        })
        .collect();
    let few: Vec<_> = all
        .iter()
        .filter(|r| r.setting.to_string() == "test_missing" && r.row.fusion.name == "concat")
        .cloned()
        .collect();
    let one: Vec<_> = all
        .iter()
        .filter(|r| r.setting.to_string() == "train_availability" && r.outcome.scores[0].rate == 0.9)
        .cloned()
        .collect();
    for (name, records) in [("many", many), ("few", few), ("one", one), ("two", experiment(2))] {
        let summary = Summary::new("table4", &records, &paper).unwrap();
        let warnings = vec!["Incomplete: 3 of 99 cells are missing; the numbers will change.".to_owned()];
        let figure = Figure::of_scores(&summary, &paper, text(warnings, "origin"));
        let picture = figure.draw("").unwrap();
        assert!(picture.png.len() > 10_000);
        if let Some(folder) = &look {
            mmcollapse_files::write_atomic(&folder.join(format!("{name}.png")), &picture.png).unwrap();
        }
    }
}

#[test]
fn panels_of_one_measure_share_their_axis_in_all_rows() {
    let paper = table4();
    let summary = Summary::new("table4", &experiment(10), &paper).unwrap();
    let measures = ["accuracy", "accuracy_complete"].map(|key| key.parse().unwrap());
    let figure = Figure::of_measures(&summary, &measures, text(vec![], "origin"));
    assert!(figure.rows.len() > 2);
    for place in [0, 1] {
        let panels = figure.rows.iter().filter_map(|row| row.panels.get(place));
        let scales: Vec<axis::Scale> = panels.map(|panel| layout::scale(&figure, panel).0).collect();
        assert!(scales.windows(2).all(|pair| pair[0] == pair[1]), "{scales:?}");
    }
    // Two modalities' gaps are compared, an accuracy and a rank are not.
    let axis = |key: &str| Axis::of(&key.parse().unwrap());
    assert_eq!(axis("gap_first"), axis("gap_eliminated"));
    assert_ne!(axis("accuracy"), axis("rank_effective"));
}

/// Rows of one fusion with so many right of 450 test samples, ten seeds.
fn rows_at(rows: &[(&str, usize)]) -> Vec<mmcollapse_record::Record> {
    let runs = rows.iter().flat_map(|row| (0..10).map(move |seed| (*row, seed)));
    runs.map(|((row, right), seed)| {
        let levels = [0.9, 0.8].map(|rate| (rate, right + seed as usize % 3));
        let ok = Status::Ok;
        record(row, ("concat", "none"), "test_missing", seed, &levels, ok)
    })
    .collect()
}

#[test]
fn effects_of_a_point_have_a_zoom_beside_rows_that_fail() {
    let paper = table4();
    let drawn = |rows: &[(&'static str, usize)]| {
        let summary = Summary::new("table4", &rows_at(rows), &paper).unwrap();
        Figure::of_scores(&summary, &paper, text(vec![], "origin"))
    };
    let near = [("concat", 420), ("concat+kd", 425)];
    assert_eq!(drawn(&near).rows.len(), 1);
    let figure = drawn(&[near[0], near[1], ("concat+ebr", 150)]);
    assert_eq!(figure.rows.len(), 2);
    let [all, zoom] = [0, 1].map(|row| &figure.rows[row].panels[0]);
    assert_eq!(zoom.lines, all.lines[..2]);
    let height = |panel: &Panel| {
        let scale = axis::Scale::of([panel.clone()].iter(), &panel.axis);
        let place = |line: usize| scale.place(panel.lines[line].points[0].unwrap().mean);
        place(1) - place(0)
    };
    assert!(
        height(all) < 0.03 && height(zoom) > 0.1,
        "{} {}",
        height(all),
        height(zoom)
    );
    look("zoom", &figure);
}

fn look(name: &str, figure: &Figure) {
    let picture = figure.draw("").unwrap();
    if let Some(folder) = std::env::var_os("MMCOLLAPSE_LOOK") {
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        mmcollapse_files::write_atomic(&path, &picture.png).unwrap();
    }
}

/// Whoever reads a figure of EBR sees how often its treatment happened.
#[test]
fn a_figure_says_in_how_many_runs_the_check_passes() {
    let run = |row: &str, reallocation: &str, twin: Option<&str>, seed: u64, confusion: f64| {
        let mut record = record(
            row,
            ("concat", reallocation),
            "test_missing",
            seed,
            &[(0.9, 400)],
            Status::Ok,
        );
        record.row.reallocation.twin = twin.map(str::to_owned);
        record.outcome.scores.push(Score {
            protocol: setting("test_missing").protocol,
            rate: 0.0,
            split: Split::Test,
            metric: metric("confusion"),
            value: confusion,
            n: 450,
        });
        record
    };
    let mut records = Vec::new();
    for seed in 0..3 {
        records.push(run("concat+heads", "heads", None, seed, 0.1));
        let confusion = if seed == 1 { 0.95 } else { 0.2 };
        records.push(run("concat+ebr", "ebr", Some("heads"), seed, confusion));
    }
    let summary = Summary::new("table4", &records, &table4()).unwrap();
    let text = || text(Vec::new(), "");
    let said = " Runs that pass the manipulation check: EBR in 1 of 3.";
    for note in [
        Figure::of_scores(&summary, &table4(), text()).note,
        Forest::new(&summary, &table4(), text()).note,
    ] {
        assert!(note.contains(said), "{note}");
    }
    let plain: Vec<_> = experiment(3);
    let plain = Summary::new("table4", &plain, &table4()).unwrap();
    assert!(!Forest::new(&plain, &table4(), text()).note.contains("manipulation"));
}
