//! avMNIST in a setting where neither modality suffices: images of a few principal components, speech in noise.
//!
//! `data/avmnist-hard.yaml` says how and holds every number. What the seed draws is the images, which image meets which
//! clip, the validation pairs, which classes of noise are kept for the test, and each sample's noise.

mod inputs;

use std::path::Path;

use mmcollapse_nn::random::Stream;
use serde::Deserialize;

use self::inputs::{Features, Noise, standardize};
use super::File;
use super::avmnist::{CLASSES, Parts, SIDE};
use super::spoken::{Clip, NAMES, named};
use crate::catalog::manifest;
use crate::folder::{self, FolderClip, FolderSource};
use crate::hub::Hub;
use crate::manifest::{BuiltIn, Manifest, read_yaml};
use crate::sources::{Record, hub};
use crate::stft::Stft;
use crate::{DataError, Dataset, DatasetSource, LoadOptions, ModalitySpec, Samples, cache};

pub(super) const FILE: File = File {
    sets: || vec![&AvMnistHard],
    sources: &[manifest!(FolderSource, "esc10")],
};

const NAME: &str = "avmnist-hard";
const RECIPE: &str = include_str!("../../../../data/avmnist-hard.yaml");

/// `data/avmnist-hard.yaml`; what each key means stands there.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the YAML file documents its keys")]
pub struct HardRecipe {
    pub name: String,
    pub image: String,
    pub sound: String,
    pub noise: String,
    pub test_index_below: usize,
    pub test_images_per_clip: usize,
    pub validation_per_class: usize,
    pub components: usize,
    pub image_mean: f32,
    pub image_sd: f32,
    pub samples: usize,
    pub snr_db: f64,
    pub test_noise_classes: usize,
    pub window: usize,
    pub hop: usize,
    pub top_db: f64,
}

impl HardRecipe {
    /// The recipe built into the program.
    ///
    /// # Errors
    /// When it cannot be read; a test keeps that from happening.
    pub fn built_in() -> Result<Self, DataError> {
        read_yaml(NAME, RECIPE)
    }
}

/// The data set.
#[derive(Clone, Copy, Debug)]
pub struct AvMnistHard;

impl DatasetSource for AvMnistHard {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> String {
        "MNIST image of 4 principal components (1x28x28) and spoken digit in ESC-10 noise at 3 dB (log spectrogram, \
         1x112x112): train 2400, validation 300, test 900"
            .to_owned()
    }

    fn modalities(&self) -> Vec<String> {
        ["image", "sound"].map(str::to_owned).into()
    }

    fn samples(&self) -> Option<usize> {
        Some(3600)
    }

    fn sources(&self) -> &'static [&'static str] {
        &["mnist", "fsdd", "esc10"]
    }

    fn has_images(&self) -> bool {
        true
    }

    fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        let noise = HardParts::noise(FolderSource::find("esc10")?.folder().as_deref())?;
        self.load_from(options.seed, &hub(options), noise, cache::folder().as_deref())
    }
}

impl AvMnistHard {
    /// Builds it from the files of `hub` and the clips of `noise`, or takes what was built before from the folder
    /// `cached`.
    ///
    /// # Errors
    /// When a source cannot be had or does not hold what its manifest says.
    pub fn load_from(
        &self,
        seed: u64,
        hub: &Hub,
        noise: Vec<FolderClip>,
        cached: Option<&Path>,
    ) -> Result<Dataset, DataError> {
        let recipe = HardRecipe::built_in()?;
        let (images, sounds) = (Manifest::find(&recipe.image)?, Manifest::find(&recipe.sound)?);
        let key = cache::key_of_seed(
            seed,
            &[
                RECIPE,
                NAMES,
                &format!("{:?} {:?} {}", images.content, sounds.content, folder::digest(&noise)),
                include_str!("avmnist_hard.rs"),
                include_str!("avmnist_hard/inputs.rs"),
                include_str!("spoken.rs"),
                include_str!("../decode.rs"),
                include_str!("../noise.rs"),
                include_str!("../pca.rs"),
                include_str!("../stft.rs"),
            ],
        );
        cache::dataset(cached, NAME, &key, || {
            self.assemble(seed, &HardParts::decode(hub, noise)?)
        })
    }

    /// Puts it together from decoded records.
    ///
    /// # Errors
    /// When the records are too few for the recipe or of another kind.
    pub fn assemble(&self, seed: u64, parts: &HardParts) -> Result<Dataset, DataError> {
        let recipe = HardRecipe::built_in()?;
        let clips = named(NAME, &parts.digits.clips)?;
        let (mut train, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
        for class in 0..CLASSES as u32 {
            let draw = |purpose: &str| Stream::at(seed, &format!("{NAME}/{purpose}"), u64::from(class));
            let of_train = pairs(&recipe, class, "train", &parts.digits.train_images, &clips, draw)?;
            let held_out = draw("validation").choose_distinct(of_train.len(), recipe.validation_per_class);
            for (i, pair) in of_train.into_iter().enumerate() {
                let split = if held_out.contains(&i) {
                    &mut validation
                } else {
                    &mut train
                };
                split.push(pair);
            }
            test.extend(pairs(&recipe, class, "test", &parts.digits.test_images, &clips, draw)?);
        }
        let images: Vec<&[u8]> = train.iter().map(|pair| pair.image.content.as_slice()).collect();
        let features = Features::new(&recipe, &images)?;
        let (train_noise, test_noise) = Noise::cut(&recipe, seed, &parts.noise_classes, &parts.noise)?;
        let mut splits = [
            samples(&train, &features, &train_noise)?,
            samples(&validation, &features, &train_noise)?,
            samples(&test, &features, &test_noise)?,
        ];
        standardize(&mut splits);
        let [train, validation, test] = splits;
        let stft = Stft::new(recipe.window, recipe.hop);
        Ok(Dataset::new(
            NAME,
            vec![
                ModalitySpec::new("image", &[1, SIDE, SIDE]),
                ModalitySpec::new("sound", &[1, stft.bins(), stft.frames(recipe.samples)]),
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
pub struct HardParts {
    digits: Parts,
    noise: Vec<FolderClip>,
    noise_classes: Vec<String>,
}

impl HardParts {
    /// The recordings of noise in `folder`.
    ///
    /// # Errors
    /// When it does not hold what its manifest says; the error says what to do.
    pub fn noise(folder: Option<&Path>) -> Result<Vec<FolderClip>, DataError> {
        FolderSource::find(&HardRecipe::built_in()?.noise)?.clips(folder)
    }

    /// Decodes and checks the sources of the recipe, with `noise` as [`HardParts::noise`] gives it.
    ///
    /// # Errors
    /// When a source cannot be had or does not hold what its manifest says.
    pub fn decode(hub: &Hub, noise: Vec<FolderClip>) -> Result<Self, DataError> {
        let recipe = HardRecipe::built_in()?;
        Ok(Self {
            digits: Parts::of(&recipe.image, &recipe.sound, hub)?,
            noise,
            noise_classes: FolderSource::find(&recipe.noise)?.classes,
        })
    }
}

/// An image and a clip of the same class.
struct Pair<'a> {
    image: &'a Record,
    clip: &'a Clip<'a>,
}

/// The pairs of a class for the part `train` or `test`: each clip, in a drawn order, with the images that the recipe
/// gives it, drawn without replacement.
fn pairs<'a>(
    recipe: &HardRecipe,
    class: u32,
    part: &str,
    images: &'a [Record],
    clips: &'a [Clip<'a>],
    draw: impl Fn(&str) -> Stream,
) -> Result<Vec<Pair<'a>>, DataError> {
    let is_train = part == "train";
    let images: Vec<&Record> = images.iter().filter(|image| image.identity.label == class).collect();
    let wanted = |clip: &&Clip| clip.digit() == class && (clip.index >= recipe.test_index_below) == is_train;
    let mut clips: Vec<&Clip> = clips.iter().filter(wanted).collect();
    clips.sort_by_key(|clip| clip.name);
    let n = clips.len() * if is_train { 1 } else { recipe.test_images_per_clip };
    if clips.is_empty() || images.len() < n || (is_train && n <= recipe.validation_per_class) {
        return Err(DataError::Recipe {
            name: NAME.into(),
            reason: format!(
                "class {class}, {part}: {} clips need {n} images, there are {}; of the pairs of training, {} are for \
                 validation",
                clips.len(),
                images.len(),
                recipe.validation_per_class
            ),
        });
    }
    let chosen = draw(&format!("images/{part}")).choose_distinct(images.len(), n);
    draw(&format!("pairs/{part}")).shuffle(&mut clips);
    let pair = |(image, clip): (usize, &&'a Clip<'a>)| Pair {
        image: images[image],
        clip,
    };
    Ok(chosen.into_iter().zip(clips.iter().cycle()).map(pair).collect())
}

/// The pairs as an encoder is given them, the sound not yet standardised.
fn samples(pairs: &[Pair], features: &Features, noise: &Noise) -> Result<Samples, DataError> {
    let (mut ids, mut labels, mut images, mut sounds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for Pair { image, clip } in pairs {
        if image.form != [SIDE as u32; 2] {
            return Err(DataError::Recipe {
                name: NAME.into(),
                reason: format!("an image of {:?} pixels, expected 28 x 28", image.form),
            });
        }
        // A digit, the image's digest, the clip's name: what the pair is, wherever it lies; and the noise it is heard in.
        let pair = format!("{}+{}", &image.identity.hex()[..12], clip.name);
        let (name, excerpt) = noise.excerpt(&pair)?;
        ids.push(format!("{pair}+{name}"));
        images.extend(features.image(image));
        sounds.extend(features.sound(clip, excerpt));
        labels.push(clip.digit());
    }
    Ok(Samples::complete(ids, vec![images, sounds], labels))
}
