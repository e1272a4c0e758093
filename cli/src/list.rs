//! `afunix list`.

use crate::args::ListArgs;
use crate::output::{FINE, Problem, print};
use crate::scenarios::Scenario;

pub(crate) fn run(args: &ListArgs, scenarios: &[Scenario]) -> Result<bool, Problem> {
    if args.json {
        let list: Vec<_> = scenarios
            .iter()
            .map(|scenario| serde_json::json!({"name": scenario.name, "about": scenario.about}))
            .collect();
        print(&format!("{}\n", serde_json::json!({ "scenarios": list })))?;
        return Ok(FINE);
    }
    let width = scenarios.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    for Scenario { name, about, .. } in scenarios {
        print(&format!("{name:width$}  {about}\n"))?;
    }
    Ok(FINE)
}
