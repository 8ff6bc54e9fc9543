//! Dialects of the operator's own: files beside the adapter's, for firmware that the adapter's author did not know.
//!
//! They are read once, at the start, and held against the recipes of every adapter that leads: a name that no recipe
//! knows stops the start or refuses the swap, before a miner meets it.

use crate::setup::at;
use millpond_algorithms::Algorithms;
use millpond_chain::{Grant, Version};
use millpond_config::Pool as Section;
use millpond_contracts::chain::ChainAdapter;
use millpond_dialect::{Dialect, DialectSet, MAX_DOCUMENT_BYTES};
use millpond_recipe::{Field, Recipe, Stage};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Files of a pool at most: as many as an adapter may have.
const FILES: usize = 16;

/// Reads and compiles the files that a section names. `beside` is the configuration's folder.
///
/// # Errors
/// Every file that is not there or does not compile, with the lines of all its errors.
pub(crate) fn read(section: &Section, beside: &Path) -> Result<Vec<Arc<Dialect>>, Vec<String>> {
    let (files, span) = (&section.stratum.dialects, section.stratum.span);
    let say = |why: &dyn std::fmt::Display| at(span, "stratum.dialects", why);
    if files.len() > FILES {
        return Err(vec![say(&format!("{} files, at most {FILES}", files.len()))]);
    }
    let (mut own, mut errors): (Vec<Arc<Dialect>>, Vec<String>) = (Vec::new(), Vec::new());
    for file in files {
        match text(&beside.join(file)) {
            Ok(text) => match Dialect::compile(file, &text) {
                Ok(dialect) if own.iter().any(|known| known.name() == dialect.name()) => {
                    errors.push(say(&format!("{file}: another file has a dialect {:?} too", dialect.name())));
                }
                Ok(dialect) => own.push(dialect),
                Err(why) => errors.extend(why.to_string().lines().map(|line| say(&line))),
            },
            Err(why) => errors.push(say(&format!("{file} cannot be read: {why}"))),
        }
    }
    if errors.is_empty() { Ok(own) } else { Err(errors) }
}

/// A document's text; a file that is longer than any document may be is not read to its end.
fn text(path: &Path) -> std::io::Result<String> {
    let most = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    std::fs::File::open(path)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

/// What of the operator's dialects fits none of an adapter's recipes, one sentence each.
pub(crate) fn problems(own: &[Arc<Dialect>], recipes: &[Arc<Recipe>]) -> Vec<String> {
    let mut problems = Vec::new();
    for dialect in own {
        let fits = |recipe: &Arc<Recipe>| {
            let among = |fields: &[Field], name: &str| fields.iter().any(|field| &*field.name == name);
            let register = |name: &str| recipe.register(name).is_some_and(|info| info.stage < Stage::Share);
            dialect.check_against(&register, &|name| among(recipe.share_fields(), name), &|name| {
                among(recipe.session_fields(), name)
            })
        };
        let mut tried: Vec<_> = recipes.iter().map(fits).collect();
        if tried.iter().all(Result::is_err)
            && let Some(Err(why)) = tried.drain(..).next()
        {
            problems.extend(why.to_string().lines().map(str::to_owned));
        }
    }
    problems
}

/// As [`problems`], for an adapter that is loaded and does not lead yet. One that cannot be worked with at all is refused
/// elsewhere, in words of its own.
pub(crate) fn misfits(
    own: &[Arc<Dialect>],
    adapter: &Arc<dyn ChainAdapter>,
    grants: &[Grant],
) -> Vec<String> {
    if own.is_empty() {
        return Vec::new();
    }
    Version::prepare(Arc::clone(adapter), 0, &Algorithms::native(), grants)
        .map_or(Vec::new(), |version| problems(own, &version.recipes))
}

/// The dialects that miners are served in: the adapter's, each by the operator's of the same name where there is one, and
/// the operator's others before them for the user agents that they match. None when there is none at all.
pub(crate) fn served(adapters: &[Arc<Dialect>], own: &[Arc<Dialect>]) -> Option<DialectSet> {
    let named = |dialects: &[Arc<Dialect>], name: &str| {
        dialects.iter().find(|known| known.name() == name).map(Arc::clone)
    };
    let of_adapter: Vec<_> = adapters
        .iter()
        .map(|dialect| named(own, dialect.name()).unwrap_or_else(|| Arc::clone(dialect)))
        .collect();
    let further: Vec<_> =
        own.iter().filter(|dialect| named(adapters, dialect.name()).is_none()).map(Arc::clone).collect();
    // What speaks to whoever matches nothing is the adapter's to say.
    let Some(set) = DialectSet::from_documents(&of_adapter) else {
        return DialectSet::from_documents(&further);
    };
    let default = Arc::clone(set.default_dialect());
    let others = set.all().filter(|dialect| !Arc::ptr_eq(dialect, &default)).map(Arc::clone);
    let others = further.into_iter().chain(others).collect();
    Some(DialectSet::new(default, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(name: &str, agent: &str, hole: &str) -> Arc<Dialect> {
        let agent = if agent.is_empty() { String::new() } else { format!("match agent \"{agent}\"\n") };
        let text = format!(
            "dialect 1 \"{name}\"\n{agent}on ping reply [\"{name}\", \"{{{hole}}}\"]\n{}",
            "on login\n  login user /params/0\n  reply true\n  then job\n\
             on submit\n  submit\n  job /params/0\n  field xn.suffix /params/1 hex\n  reply true\n\
             push job needs authorized {\"job\": \"{job}\"}\n"
        );
        Dialect::compile(name, &text).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn the_operators_dialects_stand_before_the_adapters_and_in_place_of_their_names() {
        let adapters = [dialect("plain", "", "session"), dialect("rig", "rig*", "session")];
        let own = [dialect("rig", "rig*", "xn.rest"), dialect("new", "r*", "session")];
        let set = served(&adapters, &own).unwrap();
        let agent = |agent: &str| set.for_agent(agent).name().to_owned();
        assert_eq!(
            (agent("rig/1"), agent("r2"), agent("cgminer")),
            ("new".into(), "new".into(), "plain".into())
        );
        assert_eq!(set.all().count(), 3, "the adapter's rig is not spoken any more");
        let rig = set.fixed("rig").unwrap();
        assert!(Arc::ptr_eq(rig.default_dialect(), &own[0]));
        // A file without `match` is for ports that are fixed to it, and no default.
        let set = served(&adapters, &[dialect("fixed", "", "session")]).unwrap();
        assert_eq!(set.default_dialect().name(), "plain");
        assert!(set.fixed("fixed").is_some());
        assert_eq!(served(&[], &own).unwrap().default_dialect().name(), "rig");
        assert!(served(&[], &[]).is_none());
    }

    #[test]
    fn a_name_that_no_recipe_knows_is_a_problem_and_one_that_some_recipe_knows_is_none() {
        let compile = |text: &str| {
            Recipe::compile("r", text, &millpond_algorithms::Algorithms::native())
                .unwrap_or_else(|why| panic!("{why}"))
        };
        let recipes = [
            compile(
                "recipe 1 \"a\"\nconst one:4\nshare xn:4\npow = sha256 (cat one xn)\njudge be pow | id pow\n",
            ),
            compile(
                "recipe 1 \"b\"\nconst two:4\nshare xn:4\npow = sha256 (cat two xn)\njudge be pow | id pow\n",
            ),
        ];
        assert_eq!(problems(&[dialect("x", "", "two")], &recipes), Vec::<String>::new());
        let found = problems(&[dialect("x", "", "three")], &recipes);
        assert!(
            found.len() == 1 && found[0].contains("`three`") && found[0].starts_with("x:2:"),
            "{found:?}"
        );
        let found = problems(&[dialect("x", "", "pow")], &recipes);
        assert_eq!(found.len(), 1, "a share's own value is not there when a message is written");
    }
}
