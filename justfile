# Every verb of the project. `just --list` is the manual; `just VERB --help` tells the flags of a verb that takes ARGS.

mmcollapse := "cargo run --release --bin mmcollapse --"
python := env("PYTHON", "python3")

# show this list
[private]
default:
    @just --list

# train what a table or figure needs and make it: `just reproduce table4|all [--preset smoke|quick|full] [--limit 150m] [--dry-run]`
[group('results')]
reproduce *ARGS:
    {{ mmcollapse }} reproduce {{ ARGS }}

# search settings for every row with the same budget, on validation only: `just tune table3 [--only concat] [--trials 16] [--dry-run]`
[group('results')]
tune *ARGS:
    {{ mmcollapse }} tune {{ ARGS }}

# train some cells without making tables: `just run table4 --only shaspec+ebr --seeds 1`
[group('results')]
run *ARGS:
    {{ mmcollapse }} run {{ ARGS }}

# tables and figures again from what was trained, then results/REPRODUCTION.md and results/report: `just report [table4]`
[group('results')]
report *ARGS:
    {{ mmcollapse }} report {{ ARGS }}

# REPRODUCTION.md and the HTML report again from results/ alone, by a program that builds without candle: `just pages [--results DIR]`
[group('results')]
pages *ARGS:
    cargo run --release --package mmcollapse-experiments --no-default-features --bin report -- {{ ARGS }}

# which committed results are fresh, incomplete or stale
[group('results')]
results *ARGS:
    {{ mmcollapse }} results {{ ARGS }}

# print the experiments or details: `just list [NAME|methods|datasets]`
[group('results')]
list *ARGS:
    {{ mmcollapse }} list {{ ARGS }}

# show, download or check the data: `just data list|fetch|verify [NAME]`
[group('results')]
data *ARGS:
    {{ mmcollapse }} data {{ ARGS }}

# all tests, doc tests too (nextest where it is installed)
[group('development')]
test *ARGS:
    if cargo nextest --version >/dev/null 2>&1; then \
        cargo nextest run --release --workspace {{ ARGS }} && cargo test --release --workspace --doc; \
    else \
        cargo t {{ ARGS }}; \
    fi

# train the smoke preset anew and compare it with the golden values: `just gate [table4] [--update]`
[group('development')]
gate *ARGS:
    {{ mmcollapse }} gate {{ ARGS }}

# training speed beside PyTorch's, as ratios; PYTHON names an interpreter that has torch
[group('development')]
bench *ARGS:
    {{ python }} scripts/bench.py {{ ARGS }}

# all that CI runs: format, spelling, dependencies, tests, lints, smoke run and gate
[group('development')]
ready:
    .ci/run
