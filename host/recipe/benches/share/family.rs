//! A family's document with a job and a session, beside what judges the same by hand.

use super::hand::Outcome;
use millpond_algorithms::Algorithms;
use millpond_recipe::{Recipe, Scratch, SessionStage};
use millpond_types::Target;

/// A share's values as a family's dialect hands them over.
pub(crate) type Values = [Vec<u8>];

/// A share judged by hand, with a buffer that is kept.
pub(crate) type ByHand = dyn Fn(&Values, &mut Vec<u8>) -> Option<Outcome>;

/// A family's document with a job, and the same by hand.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) session: SessionStage,
    pub(crate) hand: Box<ByHand>,
    /// The values of a share, out of its number.
    pub(crate) vary: fn(u32) -> Vec<Vec<u8>>,
}

/// A share's target and the network's.
pub(crate) fn targets() -> (Target, Target) {
    let target = |first: u8| Target::from_be_bytes(std::array::from_fn(|i| if i < 2 { first } else { 0xff }));
    (target(0x7f), target(0))
}

/// A document with a job and a session.
pub(crate) fn session(document: &str, consts: &[Vec<u8>], session: &[Vec<u8>]) -> SessionStage {
    let recipe = Recipe::compile("bench", document, &Algorithms::native()).unwrap();
    recipe.job(consts).unwrap().session(session).unwrap()
}

/// The same share by the recipe.
pub(crate) fn by_recipe(
    session: &SessionStage,
    values: &Values,
    (share, network): &(Target, Target),
    scratch: &mut Scratch,
) -> Option<Outcome> {
    let judged = session.judge(values, scratch).ok()?;
    Some(Outcome {
        pow: judged.pow,
        id: judged.id,
        meets_share: share.is_met_by(&judged.pow),
        meets_network: network.is_met_by(&judged.pow),
    })
}
