//! avMNIST-1500: pairs of an MNIST image and a spoken digit of the same class.
//!
//! After SMIL (Ma et al., AAAI 2021, section 4.1 and its public code), as the paper takes it over. `data/avmnist.yaml`
//! holds every number; what the seed draws is the images, which image meets which clip, and the validation pairs.
//! Clips are told by the digest of their samples, images by a canonical order, so the same seed gives the same pairs
//! whatever the hub's row order is.

mod inputs;

use std::path::Path;

use mmcollapse_nn::random::Stream;
use serde::Deserialize;

use self::inputs::{Features, standardize};
use super::File;
use crate::catalog::manifest;
use crate::embedded::Excerpt;
use crate::hub::Hub;
use crate::manifest::{BuiltIn, Manifest, read_yaml};
use crate::sets::spoken::{Clip, NAMES, called, named};
use crate::sources::{Record, hub, records};
use crate::{DataError, Dataset, DatasetSource, LoadOptions, ModalitySpec, Samples, cache};

pub(super) const FILE: File = File {
    sets: || {
        vec![
            &AvMnist::Plain,
            &AvMnist::Standardized,
            &AvMnist::Fresh,
            &AvMnist::Embedded,
        ]
    },
    sources: &[
        manifest!(Manifest, "mnist"),
        manifest!(Manifest, "fsdd"),
        manifest!(Excerpt, "avmnist-embedded"),
    ],
};

const RECIPE: &str = include_str!("../../../../data/avmnist.yaml");
pub(super) const CLASSES: usize = 10;
pub(super) const SIDE: usize = 28;

/// `data/avmnist.yaml`; what each key means stands there.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the YAML file documents its keys")]
pub struct Recipe {
    pub name: String,
    pub image: String,
    pub sound: String,
    pub train_per_class: usize,
    pub test_per_class: usize,
    pub validation_per_class: usize,
    pub speakers: Vec<String>,
    pub fresh_speakers: Vec<String>,
    pub test_index_below: usize,
    pub image_mean: f32,
    pub image_sd: f32,
    pub every: usize,
    pub mel_sample_rate: f64,
    pub coefficients: usize,
    pub frames: usize,
}

impl Recipe {
    /// The recipe built into the program.
    ///
    /// # Errors
    /// When it cannot be read; a test keeps that from happening.
    pub fn built_in() -> Result<Self, DataError> {
        let recipe: Self = read_yaml("avmnist", RECIPE)?;
        if recipe.validation_per_class >= recipe.train_per_class {
            return Err(DataError::Manifest {
                name: "avmnist".into(),
                reason: "validation_per_class must be below train_per_class".into(),
            });
        }
        Ok(recipe)
    }
}

/// avMNIST in three forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AvMnist {
    /// From the hub's files.
    Plain,
    /// From the hub's files, with each MFCC coefficient brought to mean 0 and standard deviation 1 over the training
    /// samples' frames.
    Standardized,
    /// From the hub's files, with the clips of three other speakers.
    Fresh,
    /// From the excerpt that is built into the program: the same clips, images drawn from fewer.
    Embedded,
}

impl DatasetSource for AvMnist {
    fn name(&self) -> &'static str {
        match self {
            Self::Plain => "avmnist",
            Self::Standardized => "avmnist_standardized",
            Self::Fresh => "avmnist-fresh",
            Self::Embedded => "avmnist-embedded",
        }
    }

    fn summary(&self) -> String {
        let summary = match self {
            Self::Plain => {
                "1500 pairs of MNIST image (1x28x28) and FSDD spoken digit (MFCC, 1x20x20): train 840, validation 210, test 450"
            }
            Self::Standardized => "avmnist with each MFCC coefficient standardised on the training samples",
            Self::Fresh => {
                "avmnist with the clips of three other speakers, for what seeds that share their clips cannot confirm"
            }
            Self::Embedded => {
                "avmnist from an excerpt built into the program, which needs no network: the same clips, images drawn from 5000"
            }
        };
        summary.to_owned()
    }

    fn modalities(&self) -> Vec<String> {
        ["image", "sound"].map(str::to_owned).into()
    }

    fn samples(&self) -> Option<usize> {
        Some(1500)
    }

    fn sources(&self) -> &'static [&'static str] {
        match self {
            Self::Plain | Self::Standardized | Self::Fresh => &["mnist", "fsdd"],
            Self::Embedded => &["avmnist-embedded"],
        }
    }

    fn excerpt(&self) -> Option<&'static str> {
        let embedded = *self == Self::Embedded;
        embedded.then_some(
            "avmnist-embedded is an excerpt of avMNIST's data: the same clips, images drawn from 4000 instead of 60 000 to train and \
             from 1000 instead of 10 000 to test.",
        )
    }

    fn stand_in(&self) -> Option<&'static str> {
        (*self == Self::Plain).then_some("avmnist-embedded")
    }

    fn is_kept(&self, seed: u64) -> bool {
        cache::is_kept(self.name(), self.key(seed))
    }

    fn has_images(&self) -> bool {
        true
    }

    fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        self.load_from(options.seed, &hub(options), cache::folder().as_deref())
    }
}

impl AvMnist {
    /// Builds it from the files of `hub`, or takes what was built before from the folder `cached`.
    ///
    /// # Errors
    /// When a source cannot be had or does not hold what its manifest says.
    pub fn load_from(&self, seed: u64, hub: &Hub, cached: Option<&Path>) -> Result<Dataset, DataError> {
        cache::dataset(cached, self.name(), &self.key(seed)?, || self.build(seed, hub))
    }

    /// Key of what is kept of a seed.
    fn key(self, seed: u64) -> Result<String, DataError> {
        let content = match self {
            Self::Plain | Self::Standardized | Self::Fresh => {
                let recipe = Recipe::built_in()?;
                let (images, sounds) = (Manifest::find(&recipe.image)?, Manifest::find(&recipe.sound)?);
                format!("{:?} {:?}", images.content, sounds.content)
            }
            Self::Embedded => format!("{:?}", Excerpt::find(self.name())?.content),
        };
        Ok(cache::key_of_seed(
            seed,
            &[
                RECIPE,
                NAMES,
                &content,
                include_str!("avmnist.rs"),
                include_str!("avmnist/inputs.rs"),
                include_str!("spoken.rs"),
                include_str!("../mfcc.rs"),
                include_str!("../stft.rs"),
                include_str!("../decode.rs"),
                include_str!("../embedded.rs"),
                self.name(),
            ],
        ))
    }

    /// Builds it from the files of `hub` or from the excerpt.
    ///
    /// # Errors
    /// When a source cannot be had or does not hold what its manifest says.
    pub fn build(&self, seed: u64, hub: &Hub) -> Result<Dataset, DataError> {
        let parts = match self {
            Self::Plain | Self::Standardized | Self::Fresh => Parts::decode(hub)?,
            Self::Embedded => Parts::embedded()?,
        };
        self.assemble(seed, &parts)
    }

    /// Puts it together from decoded records.
    ///
    /// # Errors
    /// When the records are too few for the recipe or of another kind.
    pub fn assemble(&self, seed: u64, parts: &Parts) -> Result<Dataset, DataError> {
        let recipe = Recipe::built_in()?;
        // The excerpt's clips are thinned already.
        let (clips, every) = match &parts.names {
            None => (named(&recipe.name, &parts.clips)?, recipe.every),
            Some(names) => (called(&recipe.name, &parts.clips, names)?, 1),
        };
        let speakers = match self {
            Self::Fresh => &recipe.fresh_speakers,
            Self::Plain | Self::Standardized | Self::Embedded => &recipe.speakers,
        };
        let clips = of_speakers(speakers, clips);
        let mut features = Features::new(&recipe, every);
        let (mut train, mut validation, mut test) = (Pairs::default(), Pairs::default(), Pairs::default());
        for class in 0..CLASSES as u32 {
            let draw = |purpose: &str| Stream::at(seed, &format!("avmnist/{purpose}"), u64::from(class));
            let held_out = draw("validation").choose_distinct(recipe.train_per_class, recipe.validation_per_class);
            for (i, (image, clip)) in pair(&recipe, class, true, &parts.train_images, &clips, draw)?.enumerate() {
                let split = if held_out.contains(&i) {
                    &mut validation
                } else {
                    &mut train
                };
                split.push(class, image, clip, &mut features)?;
            }
            for (image, clip) in pair(&recipe, class, false, &parts.test_images, &clips, draw)? {
                test.push(class, image, clip, &mut features)?;
            }
        }
        let mut splits = [train, validation, test].map(Pairs::samples);
        if *self == Self::Standardized {
            standardize(&mut splits, &recipe);
        }
        let [train, validation, test] = splits;
        Ok(Dataset::new(
            self.name(),
            vec![
                ModalitySpec::new("image", &[1, SIDE, SIDE]),
                ModalitySpec::new("sound", &[1, recipe.coefficients, recipe.frames]),
            ],
            (0..CLASSES).map(|class| class.to_string()).collect(),
            train,
            validation,
            test,
        ))
    }
}

/// The decoded sources, each in its canonical order.
#[derive(Clone, Debug)]
pub struct Parts {
    pub(super) train_images: Vec<Record>,
    pub(super) test_images: Vec<Record>,
    pub(super) clips: Vec<Record>,
    /// Names of the clips where they are those of the excerpt, whose digests name no recording.
    names: Option<Vec<String>>,
}

impl Parts {
    /// Decodes and checks the sources of the recipe.
    ///
    /// # Errors
    /// When a source cannot be had or does not hold what its manifest says.
    pub fn decode(hub: &Hub) -> Result<Self, DataError> {
        let recipe = Recipe::built_in()?;
        Self::of(&recipe.image, &recipe.sound, hub)
    }

    /// Decodes and checks the sources of these names.
    pub(super) fn of(images: &str, sounds: &str, hub: &Hub) -> Result<Self, DataError> {
        let (images, sounds) = (Manifest::find(images)?, Manifest::find(sounds)?);
        Ok(Self {
            train_images: records(&images, "train", hub)?,
            test_images: records(&images, "test", hub)?,
            clips: records(&sounds, "all", hub)?,
            names: None,
        })
    }

    /// Decodes and checks the excerpt.
    ///
    /// # Errors
    /// When it does not hold what its manifest says; a test keeps that from happening.
    pub fn embedded() -> Result<Self, DataError> {
        let excerpted = Excerpt::find("avmnist-embedded")?.decode()?;
        Ok(Self {
            train_images: excerpted.train_images,
            test_images: excerpted.test_images,
            clips: excerpted.clips,
            names: Some(excerpted.names),
        })
    }
}

/// The pairs of a class for training or test: its clips in a drawn order, each with an image drawn without replacement.
fn pair<'a>(
    recipe: &Recipe,
    class: u32,
    training: bool,
    images: &'a [Record],
    clips: &'a [Clip<'a>],
    draw: impl Fn(&str) -> Stream,
) -> Result<impl Iterator<Item = (&'a Record, &'a Clip<'a>)>, DataError> {
    let (part, n) = if training {
        ("train", recipe.train_per_class)
    } else {
        ("test", recipe.test_per_class)
    };
    let images: Vec<&Record> = images.iter().filter(|image| image.identity.label == class).collect();
    let wanted = |clip: &&Clip| clip.digit() == class && (clip.index >= recipe.test_index_below) == training;
    let mut clips: Vec<&Clip> = clips.iter().filter(wanted).collect();
    if images.len() < n || clips.len() != n {
        return Err(DataError::Recipe {
            name: recipe.name.clone(),
            reason: format!(
                "class {class}, {part}: {n} pairs need {n} clips and at least {n} images, there are {} and {}",
                clips.len(),
                images.len()
            ),
        });
    }
    let chosen = draw(&format!("images/{part}")).choose_distinct(images.len(), n);
    draw(&format!("pairs/{part}")).shuffle(&mut clips);
    Ok(chosen.into_iter().map(move |image| images[image]).zip(clips))
}

/// The clips of these speakers by digit, speaker in their order, index: the order before the seed's.
fn of_speakers<'a>(speakers: &[String], clips: Vec<Clip<'a>>) -> Vec<Clip<'a>> {
    let place = |clip: &Clip| speakers.iter().position(|known| known == clip.speaker);
    let mut found: Vec<Clip> = clips.into_iter().filter(|clip| place(clip).is_some()).collect();
    found.sort_by_key(|clip| (clip.digit(), place(clip), clip.index));
    found
}

/// A split as it grows.
#[derive(Default)]
struct Pairs {
    ids: Vec<String>,
    images: Vec<f32>,
    sounds: Vec<f32>,
    labels: Vec<u32>,
}

impl Pairs {
    fn push(&mut self, class: u32, image: &Record, clip: &Clip, features: &mut Features) -> Result<(), DataError> {
        let odd = |reason: String| DataError::Recipe {
            name: features.recipe.name.clone(),
            reason,
        };
        if image.form != [SIDE as u32; 2] {
            return Err(odd(format!("an image of {:?} pixels, expected 28 x 28", image.form)));
        }
        // A digit, the image's digest, the clip's name: what the pair is, wherever it lies.
        self.ids.push(format!("{}+{}", &image.identity.hex()[..12], clip.name));
        self.images.extend(features.image(image));
        self.sounds.extend(features.sound(clip));
        self.labels.push(class);
        Ok(())
    }

    fn samples(self) -> Samples {
        Samples::complete(self.ids, vec![self.images, self.sounds], self.labels)
    }
}
