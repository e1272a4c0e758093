//! The pictures as those programs see them that they are made for: the page in a browser, SVG and
//! DOT in theirs, Mermaid in its own parser. What a machine lacks is skipped by name; under CI that
//! is a failure.

mod browser;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use browser::{Browser, program, skip};

fn afunix(arguments: &[&str], directory: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_afunix"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the command starts");
    let code = output.status.code();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(code, Some(0 | 1)), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).expect("text")
}

/// The page and the trace of a failure that `explore` finds.
fn failure_of(scenario: &str, directory: &Path) -> (PathBuf, PathBuf) {
    let text = afunix(&["explore", scenario, "--out", "found"], directory);
    let page = text.lines().find_map(|line| line.strip_prefix("look at it: "));
    let page = directory.join(page.expect("a page is named"));
    let trace = page.with_extension("trace.jsonl");
    assert!(page.is_file() && trace.is_file());
    (page, trace)
}

/// Those of the deadlock.
fn failure(directory: &Path) -> (PathBuf, PathBuf) {
    failure_of("flush-deadlock", directory)
}

/// With `UPDATE=1` a picture goes into docs/pictures.
fn keep(browser: &mut Browser, name: &str) {
    let picture = browser.screenshot();
    assert!(picture.len() > 10_000, "{name} is not empty");
    if std::env::var_os("UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures").join(name);
        let mut decoder = Command::new("base64")
            .args(["-d"])
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(path).unwrap())
            .spawn()
            .unwrap();
        decoder.stdin.take().unwrap().write_all(picture.as_bytes()).unwrap();
        assert!(decoder.wait().unwrap().success());
    }
}

#[test]
fn the_page_of_a_failure_in_a_browser() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start(directory.path()) else {
        return skip("the_page_of_a_failure_in_a_browser", "no Chromium");
    };
    let (page, trace) = failure(directory.path());
    one_run(&mut browser, directory.path(), &trace);
    browser.open(&page);
    assert_eq!(browser.text("#outcome"), "deadlock: left and right wait for each other");
    // Of this one every run fails; one that only a crash makes fail has a run that passes.
    let (page, _) = failure_of("stale-socket", directory.path());
    two_runs(&mut browser, &page);
    assert_eq!(browser.errors, [""; 0], "on the console");
    let elsewhere =
        |url: &&String| !url.starts_with(&format!("file://{}", directory.path().display()));
    let left: Vec<&String> = browser.requests.iter().filter(elsewhere).collect();
    assert_eq!(left, [""; 0], "requests that leave the file");
}

/// Steps by keyboard, search, and the warning of a single run.
fn one_run(browser: &mut Browser, directory: &Path, trace: &Path) {
    let page = directory.join("one.html");
    let paths = [trace, &page].map(|path| path.to_str().unwrap());
    afunix(&["trace", paths[0], "--format", "html", "-o", paths[1]], directory);
    browser.open(&page);
    let place = |browser: &mut Browser| browser.text("#place");
    let count = browser.evaluate("data.runs[0].steps.length").as_u64().unwrap();
    assert_eq!(place(browser), format!("step {count} of {count}"), "it opens at the end");
    assert_eq!(browser.text("#outcome"), "deadlock: left and right wait for each other");
    // At the end both are red; at the beginning there is no socket yet.
    let red = "document.querySelectorAll('path.e.red:not(.off)').length";
    assert_eq!(browser.evaluate(red), 1);
    browser.press("Home");
    assert_eq!(place(browser), format!("step 1 of {count}"));
    assert_eq!(browser.evaluate("document.querySelectorAll('g.row:not(.off)').length"), 0);
    browser.press("ArrowRight");
    browser.press("j");
    browser.press("ArrowLeft");
    assert_eq!(place(browser), format!("step 2 of {count}"));
    assert!(browser.text("#live").starts_with("Step 2, main (1): socketpair"), "it is spoken");
    assert!(
        browser.evaluate("document.querySelectorAll('g.row:not(.off)').length").as_u64() > Some(0)
    );
    // An X before a Y.
    browser.press("/");
    let typed = "const find = document.getElementById('find'); find.value = 'SETSOCKOPT before \
                 waits: memory'; find.dispatchEvent(new Event('input'))";
    browser.evaluate(&format!("{{ {typed} }}"));
    assert_eq!(browser.text("#count"), "2 matches");
    browser.press("Enter");
    browser.press("Escape");
    assert!(browser.text("[aria-selected=true]").contains("right (3)setsockopt"));
    browser.press("n");
    assert!(browser.text("[aria-selected=true]").contains("left (2)setsockopt"));
    keep(browser, "page-search.png");
    let shown = "document.querySelectorAll('.steps li:not([hidden])').length";
    let all = browser.evaluate(shown).as_u64().unwrap();
    browser.evaluate("document.getElementById('only').click()");
    let matching = browser.evaluate(shown).as_u64().unwrap();
    assert!(matching == 4 && matching < all, "{matching} of {all}");
    browser.evaluate("document.getElementById('only').click()");
    // The warning marks what it is about.
    browser.press("w");
    assert!(browser.text("#live").starts_with("both ends blocked on full buffers: left (pid 2)"));
    assert_eq!(browser.evaluate("document.querySelectorAll('g.pbox.hot').length"), 2);
    browser.press("End");
    keep(browser, "page-light.png");
    browser.press("t");
    assert_eq!(browser.evaluate("document.documentElement.dataset.theme"), "dark");
    keep(browser, "page-dark.png");
    browser.press("t");
    browser.press("?");
    assert_eq!(browser.evaluate("document.getElementById('keys').open"), true);
}

/// `explore` puts a run that passes beside the failure.
fn two_runs(browser: &mut Browser, page: &Path) {
    browser.open(page);
    assert_eq!(browser.evaluate("data.runs.map(run => run.name).join()"), "fails,passes");
    let difference = browser.evaluate("data.difference").as_u64().expect("they differ");
    browser.press("Home");
    browser.press("d");
    assert!(browser.text("#place").starts_with(&format!("step {} of ", difference + 1)));
    let marked = "document.querySelectorAll('li.differs').length";
    assert_eq!(browser.evaluate(marked), 2);
    keep(browser, "page-two-runs.png");
    let active = "[...document.querySelectorAll('.run')].findIndex(run => run.matches('.active'))";
    assert_eq!(browser.evaluate(active), 0);
    browser.press("o");
    assert_eq!(browser.evaluate(active), 1);
    browser.press("End");
    assert_eq!(browser.text(".run.active > h2"), "passes: passed");
}

/// However long a trace is, its page opens in under three seconds.
#[test]
fn a_long_trace_opens() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start(directory.path()) else {
        return skip("a_long_trace_opens", "no Chromium");
    };
    let trace = directory.path().join("long.jsonl");
    let mut text = String::from(
        "{\"format\":\"afunix-trace\",\"version\":1,\"subject\":\"long\",\"source\":\"kernel\"}\n",
    );
    for seq in 0..100_000 {
        let kind = match seq % 2 {
            0 => "{\"enter\":{\"call\":\"sendto(3, 5 bytes)\",\"socket\":null}}",
            _ => "{\"exit\":{\"call\":\"sendto\",\"result\":5}}",
        };
        let at = seq * 1000;
        let thread = 1 + seq / 2 % 3;
        text.push_str(&format!("{{\"event\":{{\"seq\":{seq},\"at\":{at},\"process\":1,"));
        text.push_str(&format!("\"thread\":{thread},\"kind\":{kind}}}}}\n"));
    }
    std::fs::write(&trace, text).unwrap();
    let page = directory.path().join("long.html");
    afunix(
        &["trace", trace.to_str().unwrap(), "--format", "html", "-o", "long.html"],
        directory.path(),
    );
    let mut open = || {
        browser.open(&page);
        let loaded = "performance.timing.loadEventEnd - performance.timing.navigationStart";
        browser.evaluate(loaded).as_f64().unwrap()
    };
    // Other tests run at the same time: one of a few must have had the machine to itself.
    let times: Vec<f64> = (0..5).map(|_| open()).collect();
    assert!(times.iter().any(|milliseconds| *milliseconds < 3_000.0), "{times:?} ms");
    assert!(browser.text("#notes").contains("events 90000 to 99999 of 100000"));
    assert_eq!(browser.errors, [""; 0]);
}

/// What a program makes of its standard input.
fn through(program: &Path, arguments: &[&str], input: &str) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut to = child.stdin.take().unwrap();
    let text = input.to_owned();
    let writer = std::thread::spawn(move || to.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program:?} accepts it");
    output.stdout
}

#[test]
fn graphviz_accepts_the_dot() {
    let Some(dot) = program(&["dot"]) else {
        return skip("graphviz_accepts_the_dot", "no graphviz");
    };
    let directory = tempfile::tempdir().unwrap();
    let (_, trace) = failure(directory.path());
    for source in [&["--trace", trace.to_str().unwrap()][..], &["--live"]] {
        let text = afunix(&[&["graph", "--format", "dot"], source].concat(), directory.path());
        let drawn = through(&dot, &["-Tcanon"], &text);
        assert!(String::from_utf8_lossy(&drawn).contains("digraph"), "{source:?}");
    }
}

#[test]
fn librsvg_accepts_the_svg() {
    let Some(rsvg) = program(&["rsvg-convert"]) else {
        return skip("librsvg_accepts_the_svg", "no rsvg-convert");
    };
    let directory = tempfile::tempdir().unwrap();
    let (_, trace) = failure(directory.path());
    for source in [&["--trace", trace.to_str().unwrap()][..], &["--live"]] {
        let text = afunix(&[&["graph", "--format", "svg"], source].concat(), directory.path());
        let drawn = through(&rsvg, &[], &text);
        assert!(drawn.starts_with(b"\x89PNG"), "{source:?}");
    }
}

/// `AFUNIX_MERMAID` names mermaid.min.js of the npm package `mermaid`: it runs in the browser.
#[test]
fn mermaid_accepts_the_diagrams() {
    let name = "mermaid_accepts_the_diagrams";
    let Some(script) = std::env::var_os("AFUNIX_MERMAID") else {
        return skip(name, "AFUNIX_MERMAID does not name mermaid.min.js");
    };
    let directory = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start(directory.path()) else {
        return skip(name, "no Chromium");
    };
    let (_, trace) = failure(directory.path());
    let trace = trace.to_str().unwrap();
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("../viz/tests/expected");
    let read = |file: &str| std::fs::read_to_string(expected.join(file)).unwrap();
    let hostile = ["hostile.mmd", "hostile-sequence.mmd"].map(read);
    let [graph, sequence] = hostile;
    let diagrams = [
        (
            "flowchart-v2",
            afunix(&["graph", "--trace", trace, "--format", "mermaid"], directory.path()),
        ),
        ("flowchart-v2", afunix(&["graph", "--live", "--format", "mermaid"], directory.path())),
        ("sequence", afunix(&["trace", trace, "--format", "mermaid"], directory.path())),
        ("flowchart-v2", graph),
        ("sequence", sequence),
    ];
    browser.evaluate(&std::fs::read_to_string(&script).unwrap());
    for (kind, text) in diagrams {
        let text = serde_json::Value::from(text).to_string();
        let parsed = browser.evaluate(&format!(
            "mermaid.mermaidAPI.initialize({{maxTextSize: 1e7}}), \
             mermaid.parse({text}).then(found => found.diagramType)"
        ));
        assert_eq!(parsed, kind, "{text}");
    }
}
