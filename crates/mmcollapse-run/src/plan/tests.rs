//! Plans of made-up specs.

use super::*;

/// Takes everything but the key `lr_foo`.
struct Fake;

impl Resolver for Fake {
    fn resolve(&self, config: Value) -> Result<(Value, String), String> {
        if config["training"].get("lr_foo").is_some() {
            return Err("unknown field `lr_foo`, expected one of `epochs`".to_owned());
        }
        Ok((config, "r1".to_owned()))
    }

    fn data_digest(&mut self, dataset: &str, _seed: u64) -> Result<String> {
        if dataset == "avmnist" {
            Ok("d1".to_owned())
        } else {
            Err(miette::miette!("not known"))
        }
    }
}

const SPEC: &str = "\
dataset: avmnist
modality: sound
rates: [0.95, 0.9]
protocols: [test_missing, train_availability]
training: {epochs: 60, optimizer: {kind: adam, lr: 0.001}}
fusions:
  concat: {}
  shaspec: {cost: 2, training: {epochs: 70}}
reallocations:
  none: {}
  ebr: {config: {method: ebr, regime: stable}, cost: 3, training: {optimizer: {kind: sgd, lr: 0.01}}}
rows:
  - {fusion: [concat, shaspec], reallocation: [none, ebr]}
presets:
  smoke: {seeds: 2, seconds: 1, protocols: [test_missing], training: {epochs: 2}}
  quick: {seeds: 3, seconds: 10, reallocations: {ebr: {training: {epochs: 9}, config: {regime: literal}}}}
";

fn experiment(spec: &'static str) -> ExperimentInfo {
    ExperimentInfo::new("t", "T", spec, mmcollapse_record::Shows::Scores)
}

fn plan(preset: Preset, only: &[&str]) -> Result<Plan> {
    let selection = Selection {
        only: Filter::parse(only).unwrap(),
        ..Selection::default()
    };
    Plan::new(&experiment(SPEC), preset, &selection, &mut Fake)
}

#[test]
fn a_plan_is_the_product_of_its_axes() {
    // test_missing serves all rates with one training, train_availability needs one for each.
    let plan = plan(Preset::Quick, &[]).unwrap();
    assert_eq!(plan.cells.len(), 4 * (1 + 2) * 3);
    let keys: BTreeSet<&CellKey> = plan.cells.iter().map(|planned| &planned.key).collect();
    assert_eq!(keys.len(), plan.cells.len());
    assert_eq!(plan.cells[0].label(), "concat, test_missing, seed 0");
    assert_eq!(plan.cells[8].label(), "concat, train_availability at 90%, seed 2");
    assert_eq!(plan.data["avmnist"], "d1");
}

#[test]
fn a_row_may_have_fewer_seeds_protocols_and_rates() {
    let spec: &str = Box::leak(
        SPEC.replace("  concat: {}\n", "  concat: {}\n  lmf: {}\n")
            .replace(
                "[none, ebr]}",
                "[none]}\n  - {fusion: [concat], reallocation: [ebr], seeds: 1}\n  \
             - {fusion: [lmf], reallocation: [none], protocols: [train_availability], rates: [0.9]}",
            )
            .into_boxed_str(),
    );
    let count = |seeds: Option<u64>| {
        let selection = Selection {
            seeds,
            ..Selection::default()
        };
        let plan = Plan::new(&experiment(spec), Preset::Quick, &selection, &mut Fake).unwrap();
        let of = |row: &str| plan.cells.iter().filter(|c| c.row.name == row).count();
        (of("concat"), of("concat+ebr"), of("lmf"))
    };
    assert_eq!(count(None), (9, 3, 3));
    assert_eq!(count(Some(2)), (6, 3, 2));
}

#[test]
fn a_preset_may_begin_at_another_seed() {
    let spec: &str = Box::leak(
        SPEC.replace("quick: {seeds: 3,", "quick: {seeds: 3, first_seed: 100,")
            .into_boxed_str(),
    );
    let seeds = |selection: &Selection| -> BTreeSet<u64> {
        let plan = Plan::new(&experiment(spec), Preset::Quick, selection, &mut Fake).unwrap();
        plan.cells.iter().map(|planned| planned.seed).collect()
    };
    assert_eq!(seeds(&Selection::default()), BTreeSet::from([100, 101, 102]));
    let asked = Selection {
        seeds: Some(2),
        first_seed: Some(7),
        ..Selection::default()
    };
    assert_eq!(seeds(&asked), BTreeSet::from([7, 8]));
    let fewer = Selection {
        seeds: Some(2),
        ..Selection::default()
    };
    assert_eq!(seeds(&fewer), BTreeSet::from([100, 101]));
    let preset = &Spec::of(&experiment(spec)).unwrap().presets[&Preset::Quick];
    assert_eq!((fewer.range(preset), asked.range(preset)), (100..102, 7..9));
}

#[test]
fn an_option_may_name_the_modality_in_question() {
    let with_student = SPEC.replace(
        "  none: {}\n",
        "  none: {}\n  kd: {config: {method: moved, of: {student: \"{modality}\", order: random}}}\n",
    );
    let with_student = with_student.replace("[none, ebr]}", "[kd]}");
    let counted = with_student
        .replace("modality: sound\n", "modalities: [labs, notes, drugs]\n")
        .replace("rates: [0.95, 0.9]", "rates: [2, 3]")
        .replace("[test_missing, train_availability]", "[modalities]")
        .replace("protocols: [test_missing], ", "");
    for (spec, student) in [(with_student, "sound"), (counted, "labs")] {
        let spec: &str = Box::leak(spec.into_boxed_str());
        let plan = Plan::new(&experiment(spec), Preset::Quick, &Selection::default(), &mut Fake).unwrap();
        assert!(plan.cells.len() > 1);
        for planned in plan.cells {
            let of = &planned.cell.config["reallocation"]["of"];
            assert_eq!(*of, json!({"student": student, "order": "random"}));
        }
    }
}

#[test]
fn a_fusion_may_name_a_balancing() {
    let spec = SPEC
        .replace(
            "  concat: {}\n",
            "  concat: {}\n  dropped: {config: {method: concat}, balancing: {method: modality_dropout, rate: 0.3}}\n",
        )
        .replace("[concat, shaspec]", "[concat, dropped]")
        .replace("quick: {", "quick: {fusions: {dropped: {balancing: {rate: 0.6}}}, ");
    let spec: &str = Box::leak(spec.into_boxed_str());
    let plan = Plan::new(&experiment(spec), Preset::Quick, &Selection::default(), &mut Fake).unwrap();
    for planned in plan.cells {
        let balancing = planned.cell.config.get("balancing").cloned();
        let expected = json!({"method": "modality_dropout", "rate": 0.6});
        assert_eq!(
            balancing,
            (planned.row.fusion == "dropped").then_some(expected),
            "{}",
            planned.row.name
        );
    }
}

#[test]
fn each_task_is_trained_for_itself() {
    struct Any;
    impl Resolver for Any {
        fn resolve(&self, config: Value) -> Result<(Value, String), String> {
            Ok((config, "r1".to_owned()))
        }
        fn data_digest(&mut self, dataset: &str, _seed: u64) -> Result<String> {
            Ok(dataset.to_owned())
        }
    }
    let spec = SPEC
        .replace("modality: sound\n", "")
        .replace(
            "protocols: [test_missing, train_availability]",
            "protocols: [missing]\ntasks: [death, return]",
        )
        .replace(", protocols: [test_missing]", "")
        .replace("quick: {", "quick: {encoders: {codes: {method: code_bag}}, ");
    let spec: &str = Box::leak(spec.into_boxed_str());
    let plan = Plan::new(&experiment(spec), Preset::Quick, &Selection::default(), &mut Any).unwrap();
    // Four rows, two tasks, two rates, three seeds.
    assert_eq!(plan.cells.len(), 4 * 2 * 2 * 3);
    let first = &plan.cells[0];
    assert_eq!(first.label(), "concat, death_missing at 95%, seed 0");
    assert_eq!(first.cell.config["dataset"], "avmnist-death");
    assert_eq!(first.cell.config["protocol"], json!({"kind": "missing", "rate": 0.95}));
    assert_eq!(first.cell.config["encoders"]["codes"]["method"], "code_bag");
    let names: Vec<&String> = plan.data.keys().collect();
    assert_eq!(names, ["avmnist-death", "avmnist-return"]);

    let without = SPEC.replace("modality: sound\n", "");
    let error = Spec::parse("spec.yaml", &without).unwrap_err().to_string();
    assert!(error.contains("`test_missing` is about one modality"), "{error}");
}

#[test]
fn numbers_of_modalities_are_levels() {
    let spec = SPEC
        .replace(
            "modality: sound\n",
            "modalities: [x, y, z]\nencoders: {z: {method: mlp}, codes: {method: code_bag}}\n",
        )
        .replace("rates: [0.95, 0.9]", "rates: [2, 3]")
        .replace(
            "protocols: [test_missing, train_availability]",
            "protocols: [modalities]",
        )
        .replace(", protocols: [test_missing]", "");
    let spec: &'static str = Box::leak(spec.into_boxed_str());
    let selection = Selection {
        only: Filter::parse(&["concat", "seed=0"]).unwrap(),
        ..Selection::default()
    };
    let plan = Plan::new(&experiment(spec), Preset::Quick, &selection, &mut Fake).unwrap();
    let [two, three] = &plan.cells[..] else {
        panic!("{} cells", plan.cells.len())
    };
    assert_eq!(two.label(), "concat, modalities of 2, seed 0");
    assert_eq!(two.cell.config["protocol"], json!({"kind": "modalities"}));
    assert_eq!(two.cell.config["modalities"], json!(["x", "y"]));
    // The encoder of a modality that is not there goes with it.
    assert_eq!(two.cell.config["encoders"], json!({"codes": {"method": "code_bag"}}));
    assert_eq!(three.cell.config["modalities"], json!(["x", "y", "z"]));
    assert_eq!(three.cell.config["encoders"]["z"]["method"], "mlp");
}

#[test]
fn later_layers_win() {
    let quick = plan(Preset::Quick, &["shaspec+ebr", "protocol=test_missing", "seed=0"]).unwrap();
    assert_eq!(quick.cells.len(), 1);
    let cell = &quick.cells[0];
    assert_eq!(cell.rough_seconds, 60.0);
    assert_eq!(
        cell.cell.config,
        json!({
            "dataset": "avmnist",
            "protocol": {"kind": "test_missing", "modality": "sound", "rates": [0.95, 0.9]},
            "encoders": {},
            "fusion": {"method": "shaspec"},
            "reallocation": {"method": "ebr", "regime": "literal"},
            "training": {"epochs": 9, "optimizer": {"kind": "sgd", "lr": 0.01}},
            "seed": 0,
        })
    );
    let smoke = plan(Preset::Smoke, &["shaspec"]).unwrap();
    assert_eq!(smoke.cells[0].cell.config["training"]["epochs"], 2);
}

#[test]
fn filters_select() {
    let count = |only: &[&str]| plan(Preset::Quick, only).unwrap().cells.len();
    assert_eq!(count(&["concat"]), 9);
    assert_eq!(count(&["concat,shaspec"]), 18);
    assert_eq!(count(&["fusion=concat", "reallocation=ebr"]), 9);
    assert_eq!(count(&["seed=0..2", "rate=0.9", "protocol=train_availability"]), 8);
    let error = plan(Preset::Quick, &["conkat"]).unwrap_err().to_string();
    assert!(error.contains("--only row=conkat: no cell of `t`"), "{error}");
    assert!(Filter::parse(&["colour=red"]).is_err());
    assert!(Filter::parse(&["seed=x"]).is_err());
}

#[test]
fn a_refused_option_is_named_with_its_line() {
    const BAD: &str = "\
dataset: avmnist
modality: sound
rates: [0.9]
protocols: [test_missing]
fusions: {concat: {}}
reallocations:
  none:
    training: {lr_foo: 1}
rows: [{fusion: [concat], reallocation: [none]}]
presets: {smoke: {seeds: 1, seconds: 1}}
";
    let error = Plan::new(&experiment(BAD), Preset::Smoke, &Selection::default(), &mut Fake)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("experiments/t/spec.yaml:8:16: row `concat`: unknown field `lr_foo`"),
        "{error}"
    );
}

#[test]
fn missing_presets_and_data_are_named() {
    let error = plan(Preset::Full, &[]).unwrap_err().to_string();
    assert!(error.contains("no preset `full`"), "{error}");
    let other: &'static str = Box::leak(SPEC.replace("avmnist", "nowhere").into_boxed_str());
    let error = Plan::new(&experiment(other), Preset::Smoke, &Selection::default(), &mut Fake).unwrap_err();
    assert!(format!("{error:?}").contains("nowhere"), "{error:?}");
}

/// A row whose own setting a preset lays over would be published as a control that it is not.
#[test]
fn two_rows_of_the_same_cells_are_refused() {
    const SAME: &str = "\
dataset: avmnist
modality: sound
rates: [0.9]
protocols: [test_missing]
fusions:
  concat: {config: {method: concat}}
  long: {config: {method: concat}, training: {epochs: 9}}
reallocations: {none: {}}
rows: [{fusion: [concat, long], reallocation: [none]}]
presets:
  smoke: {seeds: 1, seconds: 1, training: {epochs: 2}}
  quick: {seeds: 1, seconds: 1, training: {epochs: 2}, fusions: {long: {training: {epochs: 4}}}}
";
    let plan = |preset| Plan::new(&experiment(SAME), preset, &Selection::default(), &mut Fake);
    let error = plan(Preset::Smoke).unwrap_err().to_string();
    assert!(
        error.contains("row `long`: it trains the cells of `concat` once more"),
        "{error}"
    );
    assert_eq!(plan(Preset::Quick).unwrap().cells.len(), 2);
}
