//! Scenarios by name.

use afunix::Application;
use afunix_examples::Visit;
use afunix_sim::{App, app};

/// The scenario of this name, as what the simulator runs.
pub(crate) fn scenario(name: &str) -> App {
    struct Find<'a>(&'a str, Option<App>);
    impl Visit for Find<'_> {
        fn visit<A: Application + 'static>(&mut self) {
            if A::NAME == self.0 {
                self.1 = Some(app(|host| A::main(host, &[])));
            }
        }
    }
    let mut find = Find(name, None);
    afunix_examples::each(&mut find);
    find.1.unwrap_or_else(|| panic!("there is no scenario {name}"))
}
