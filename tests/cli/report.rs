//! `hq journal report`: the page of a real server, as a file and as a browser shows it.
//!
//! A browser is not needed for anything else, so the test with one says so and passes where there is none. What it saw lies
//! in the folder `report` of the tests' output.
//!
//! Holds: no browser that is started here can reach a network.

use crate::harness::Cluster;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names under which browsers of one kind are installed.
const BROWSERS: [&str; 5] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    BROWSERS.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name))).find(|file| file.is_file())
}

/// A server that ran an array, a job with a dangerous name, failures and a cancel, with its journal in `journal`.
fn used_server() -> Cluster {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker(2);
    cluster.hq(&["submit", "--array=1-20", "--name=array", "--wait", "true"]).ok();
    cluster.hq(&["submit", "--name=<script>document.title='x'</script>", "--cpus=2", "--wait", "--", "false"]).ok();
    let script = "test $HQ_INSTANCE_ID = 1";
    cluster
        .hq(&["submit", "--name=again", "--retries=1", "--retry-delay=1ms", "--wait", "--", "sh", "-c", script])
        .ok();
    cluster.hq(&["submit", "--name=never", "--cpus=64", "true"]).ok();
    cluster.hq(&["job", "cancel", "4"]).ok();
    cluster
}

#[test]
fn a_page_of_a_server_that_runs_and_of_one_that_ended() {
    let mut cluster = used_server();
    for mode in ["cli", "json", "quiet"] {
        let mode = format!("--output-mode={mode}");
        let done = cluster.hq(&[mode.as_str(), "journal", "report", "journal", "live.html"]).ok();
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""));
    }
    let live = cluster.read("live.html");
    for part in ["<!DOCTYPE html>", "<h1>HQ Journal Report</h1>", "<td>array</td>", "<td>again</td>", "exit code 1"] {
        assert!(live.contains(part), "`{part}` is not in the page");
    }
    cluster.hq(&["server", "stop"]).ok();
    assert!(cluster.server_ends().success());
    cluster.write("page.html", "an older file");
    cluster.hq(&["journal", "report", "journal", "page.html"]).ok();
    let page = cluster.read("page.html");
    assert!(page.contains("<title>Finished T1: 21</title>") && page.contains("<title>Failed T2: 1</title>"), "{page}");
    let mode = std::fs::metadata(cluster.work().join("page.html")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let filtered = ["journal", "report", "journal", "page.html", "--start-time=1h"];
    cluster.hq(&filtered).ok();
    let page = cluster.read("page.html");
    assert!(page.contains("<h3>Time filtering</h3>") && !page.contains("<td>array</td>"), "{page}");
}

#[test]
fn what_cannot_be_read_or_written() {
    let cluster = used_server();
    let missing = cluster.hq(&["journal", "report", "missing", "page.html"]).code(1);
    missing.says("Cannot open event log file at `missing`: ");
    cluster.hq(&["journal", "report", "journal", "no/such/page.html"]).code(1).says("Cannot write no/such/page.html");
    cluster.hq(&["journal", "report", "journal", "."]).code(1).says("Cannot write .");
    let names: Vec<_> = std::fs::read_dir(cluster.work()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("html")), "{names:?}");
    let done = cluster.hq(&["journal", "report", "journal", "/dev/stdout"]).ok();
    assert!(done.stdout.starts_with("<!DOCTYPE html>"), "{done}");
}

/// A browser with nothing but a page. It has no names to look up and no address to go to.
fn show(browser: &Path, page: &Path, options: &[&str]) -> (String, String) {
    let home = tempfile::tempdir().expect("a directory for the browser");
    let mut command = Command::new(browser);
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]);
    command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
    command.args(["--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9", "--enable-logging=stderr"]);
    command.args(["--window-size=1280,5200", "--virtual-time-budget=2000", "--timeout=60000"]).args(options);
    command.arg(format!("--user-data-dir={}", home.path().display())).arg(format!("file://{}", page.display()));
    let done = command.env("HOME", home.path()).stdin(Stdio::null()).output().expect("a browser that starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&done.stdout), text(&done.stderr))
}

/// What the page itself complained about; the browser has its own worries.
fn complaints(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("CONSOLE")).collect()
}

#[test]
fn a_browser_shows_the_page_and_asks_nobody() {
    let Some(browser) = browser() else {
        eprintln!("skipped: there is no browser here; `apt-get install chromium` brings one");
        return;
    };
    let cluster = used_server();
    cluster.hq(&["journal", "report", "journal", "page.html"]).ok();
    let page = cluster.work().join("page.html");
    let (dom, log) = show(&browser, &page, &["--dump-dom"]);
    assert_eq!(complaints(&log), [""; 0], "{log}");
    assert!(dom.contains("data-ready=\"yes\""), "the script did not run: {dom}");
    assert!(dom.contains("<title>HQ Journal Report</title>"), "{dom}");
    for row in ["<td>array</td>", "<td>again</td>", "<td>&lt;script&gt;document.title='x'&lt;/script&gt;</td>"] {
        assert!(dom.contains(row), "{row} is not in {dom}");
    }
    screenshots(&browser, &page);
    nothing_else_runs(&browser, &cluster, &page);
    what_a_reader_does(&browser, &cluster, &page);
}

fn screenshots(browser: &Path, page: &Path) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    for (name, option) in [("light", "--lang=en"), ("dark", "--blink-settings=preferredColorScheme=0")] {
        let picture = folder.join(format!("{name}.png"));
        let _ = std::fs::remove_file(&picture);
        let (_, log) = show(browser, page, &[option, &format!("--screenshot={}", picture.display())]);
        let bytes = std::fs::read(&picture).unwrap_or_else(|error| panic!("no picture: {error}\n{log}"));
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 50_000, "{} bytes", bytes.len());
    }
}

/// Even what gets into the page by a mistake of its maker neither runs nor loads anything.
fn nothing_else_runs(browser: &Path, cluster: &Cluster, page: &Path) {
    let evil = "<script>document.title = 'evil'</script>\
                <img src=\"http://192.0.2.1/x.png\" onerror=\"document.title = 'evil'\"><p ";
    let text = std::fs::read_to_string(page).unwrap().replacen("<p ", evil, 1);
    let changed = cluster.write("changed.html", &text);
    let (dom, log) = show(browser, &changed, &["--dump-dom"]);
    assert!(dom.contains("data-ready=\"yes\"") && !dom.contains("<title>evil</title>"), "{dom}");
    let refused = complaints(&log);
    assert!(refused.iter().any(|line| line.contains("Content Security Policy")), "{log}");
}

/// Sorting, pointing and zooming, by a script that the policy of the page would not let run.
fn what_a_reader_does(browser: &Path, cluster: &Cluster, page: &Path) {
    let reader = "<script>
        const rows = () => [...document.querySelectorAll('#job-table tbody tr')];
        const names = () => rows().map((row) => row.cells[1].textContent.slice(0, 5));
        const head = [...document.querySelectorAll('#job-table th button')].find((head) => head.textContent === 'Name');
        head.click();
        const up = names().join();
        head.click();
        const plot = document.querySelector('#running-workers svg.plot'), box = plot.getBoundingClientRect();
        const at = (kind, part) => plot.dispatchEvent(new PointerEvent(kind, { clientX: box.left + box.width * part,
            clientY: box.top + 9, button: 0, pointerId: 1, bubbles: true }));
        plot.setPointerCapture = () => {};
        at('pointermove', 0.9);
        const tip = document.getElementById('tip').textContent;
        at('pointerdown', 0.5); at('pointermove', 0.75); at('pointerup', 0.75);
        document.body.dataset.found = [up, names().join(), tip, plot.getAttribute('viewBox').split(' ')[0],
            document.getElementById('reset').hidden].join('|');
    </script></body>";
    let text = std::fs::read_to_string(page).unwrap();
    let (before, rest) = text.split_once("<meta http-equiv").unwrap();
    let text = format!("{before}{}", rest.split_once('>').unwrap().1).replace("</body>", reader);
    let driven = cluster.write("driven.html", &text);
    let (dom, log) = show(browser, &driven, &["--dump-dom"]);
    assert_eq!(complaints(&log), [""; 0], "{log}");
    let found = dom.split("data-found=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let found: Vec<&str> = found.split('|').collect();
    assert_eq!(found[..2], ["&lt;scri,again,array,never", "never,array,again,&lt;scri"], "{found:?}");
    assert!(found[2].contains("Running workers cpus:2") && found[2].ends_with(": 1"), "{found:?}");
    let zoomed: f64 = found[3].parse().unwrap();
    assert!((45_000.0..55_000.0).contains(&zoomed) && found[4] == "false", "{found:?}");
}
