//! How the losses take turns, and when the adversary stops for good.

use serde::{Deserialize, Serialize};

use crate::training::{JOINT, Phase};

/// How L_sem and L_md take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Turns {
    /// Some epochs of L_sem alone, then as many of L_md alone, by psi and encoders together.
    Alternate,
    /// Some epochs of L_sem alone, then as many of both.
    SemanticThenBoth,
    /// Some epochs of L_sem alone, then as many of psi alone, then as many of the encoders against it.
    PsiThenEncoders,
    /// Both in every step.
    Joint,
}

const SEMANTIC: Phase = Phase {
    name: "semantic",
    reallocation: false,
    ..JOINT
};

const ADVERSARIAL: Phase = Phase {
    name: "adversarial",
    semantic: false,
    ..JOINT
};

const PSI: Phase = Phase {
    name: "psi",
    only: Some(super::PSI),
    ..ADVERSARIAL
};

const ENCODERS: Phase = Phase {
    name: "encoders",
    except: Some(super::PSI),
    ..ADVERSARIAL
};

const ALL: [Phase; 5] = [SEMANTIC, ADVERSARIAL, PSI, ENCODERS, JOINT];

impl Turns {
    /// The cycle; each phase lasts a turn.
    fn cycle(self) -> &'static [Phase] {
        match self {
            Self::Alternate => &[SEMANTIC, ADVERSARIAL],
            Self::SemanticThenBoth => &[SEMANTIC, JOINT],
            Self::PsiThenEncoders => &[SEMANTIC, PSI, ENCODERS],
            Self::Joint => &[JOINT],
        }
    }

    /// Epochs that hold `semantic` ones of L_sem, if the adversary never stops. The last of them is one of L_sem.
    pub fn epochs(self, semantic: usize, turn: usize) -> usize {
        let cycle = self.cycle();
        let (mut left, mut epochs) = (semantic, 0);
        for phase in cycle.iter().cycle() {
            if phase.semantic {
                let now = left.min(turn);
                (left, epochs) = (left - now, epochs + now);
                if left == 0 {
                    break;
                }
            } else {
                epochs += turn;
            }
        }
        epochs
    }

    /// How many of `epochs` in these turns are of L_sem.
    pub fn semantic(self, epochs: usize, turn: usize) -> usize {
        let cycle = self.cycle();
        (0..epochs)
            .filter(|epoch| cycle[epoch / turn % cycle.len()].semantic)
            .count()
    }

    /// The phase of the epoch after those of these names, with their mean L_sem; none where `semantic` epochs of L_sem are
    /// done. With `lasting` the adversary ends with the first turn of L_sem after which L_sem is not lower than after the one
    /// before it.
    pub fn next(self, names: &[&str], losses: &[f64], semantic: usize, turn: usize, lasting: bool) -> Option<Phase> {
        let is_semantic = |name: &&&str| phase(name).is_some_and(|phase| phase.semantic);
        if names.iter().filter(is_semantic).count() >= semantic {
            return None;
        }
        if lasting && self.has_stopped(losses, turn) {
            return Some(SEMANTIC);
        }
        let cycle = self.cycle();
        cycle.get(names.len() / turn % cycle.len()).copied()
    }

    /// Whether a turn of L_sem has ended no lower than the one a cycle before it.
    fn has_stopped(self, losses: &[f64], turn: usize) -> bool {
        // L_sem is a cycle's first turn.
        let ends: Vec<&f64> = losses
            .iter()
            .skip(turn - 1)
            .step_by(turn * self.cycle().len())
            .collect();
        ends.windows(2).any(|pair| pair[1] >= pair[0])
    }
}

/// The phase of this name.
pub fn phase(name: &str) -> Option<Phase> {
    ALL.into_iter().find(|phase| phase.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first letters of a training's phases, given L_sem after each epoch.
    fn run(turns: Turns, semantic: usize, turn: usize, lasting: bool, loss: impl Fn(usize) -> f64) -> String {
        let (mut names, mut losses): (Vec<&str>, Vec<f64>) = (Vec::new(), Vec::new());
        while let Some(phase) = turns.next(&names, &losses, semantic, turn, lasting) {
            losses.push(loss(names.len()));
            names.push(phase.name);
        }
        names.iter().map(|name| &name[..1]).collect()
    }

    #[test]
    fn turns_end_with_the_last_semantic_epoch() {
        let falling = |epoch: usize| -(epoch as f64);
        for (turns, semantic, expected) in [
            (Turns::Alternate, 5, "ssaassaas"),
            (Turns::SemanticThenBoth, 6, "ssjjss"),
            (Turns::PsiThenEncoders, 4, "ssppeess"),
            (Turns::Joint, 3, "jjj"),
        ] {
            assert_eq!(run(turns, semantic, 2, true, falling), expected, "{turns:?}");
            assert_eq!(turns.epochs(semantic, 2), expected.len(), "{turns:?}");
            assert_eq!(turns.semantic(expected.len(), 2), semantic, "{turns:?}");
        }
    }

    #[test]
    fn the_adversary_stops_for_good_where_the_semantic_loss_does_not_fall() {
        // L_sem at the ends of the semantic turns (epochs 1, 5, 9): 3, 2, 2.5.
        let loss = |epoch: usize| match epoch {
            0..4 => 3.0,
            4..8 => 2.0,
            _ => 2.5,
        };
        assert_eq!(run(Turns::Alternate, 9, 2, true, loss), "ssaassaasssss");
        assert_eq!(run(Turns::Alternate, 9, 2, false, loss), "ssaassaassaassaas");
    }
}
