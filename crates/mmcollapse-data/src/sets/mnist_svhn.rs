//! MNIST-SVHN: pairs of an MNIST image and an SVHN digit of the same class.
//!
//! After MMVAE (Shi et al., NeurIPS 2019, and `bin/make-mnist-svhn-idx.py` of its public code), as the paper takes it over.
//! `data/mnist-svhn.yaml` holds every number; the seed draws the images of each split and which image meets which.
//! Images are told by a canonical order, so the same seed gives the same pairs whatever the hub's row order is.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use mmcollapse_nn::random::Stream;
use serde::Deserialize;

use super::File;
use crate::catalog::manifest;
use crate::hub::Hub;
use crate::manifest::{BuiltIn, Manifest, read_yaml};
use crate::sources::{Record, hub, records};
use crate::{DataError, Dataset, DatasetSource, LoadOptions, ModalitySpec, Samples, cache};

pub(super) const FILE: File = File {
    sets: || vec![&MnistSvhn::Small, &MnistSvhn::Full],
    sources: &[manifest!(Manifest, "svhn")],
};

const NAME: &str = "mnist-svhn";
const RECIPE: &str = include_str!("../../../../data/mnist-svhn.yaml");
const CLASSES: usize = 10;
/// The modalities, in their order.
const MODALITIES: [&str; 2] = ["mnist", "svhn"];
/// Channels, rows and columns of each.
const SHAPES: [[usize; 3]; 2] = [[1, 28, 28], [3, 32, 32]];

/// MNIST-SVHN in two sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MnistSvhn {
    /// Small enough for two CPU cores.
    Small,
    /// As large as the public code's.
    Full,
}

impl DatasetSource for MnistSvhn {
    fn name(&self) -> &'static str {
        match self {
            Self::Small => NAME,
            Self::Full => "mnist-svhn-full",
        }
    }

    fn summary(&self) -> String {
        let summary = match self {
            Self::Small => {
                "4600 pairs of MNIST image (1x28x28) and SVHN digit (3x32x32): train 3000, validation 600, test 1000"
            }
            Self::Full => "mnist-svhn in the size of MMVAE's public code: 30 matchings of all images; 31 GB of inputs",
        };
        summary.to_owned()
    }

    fn modalities(&self) -> Vec<String> {
        MODALITIES.map(str::to_owned).into()
    }

    fn samples(&self) -> Option<usize> {
        (*self == Self::Small).then_some(4600)
    }

    fn sources(&self) -> &'static [&'static str] {
        &["mnist", "svhn"]
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

impl MnistSvhn {
    /// Builds it from the files of `hub`, or takes what was built before from the folder `cached`.
    ///
    /// # Errors
    /// When a source cannot be had or does not hold what its manifest says.
    pub fn load_from(&self, seed: u64, hub: &Hub, cached: Option<&Path>) -> Result<Dataset, DataError> {
        cache::dataset(cached, self.name(), &self.key(seed)?, || {
            let recipe = PairRecipe::built_in()?;
            let (mnist, svhn) = (Manifest::find(&recipe.mnist)?, Manifest::find(&recipe.svhn)?);
            recipe.assemble(self.name(), seed, &PairParts::decode(&mnist, &svhn, hub)?)
        })
    }

    /// Key of what is kept of a seed.
    fn key(self, seed: u64) -> Result<String, DataError> {
        let recipe = PairRecipe::built_in()?;
        let (mnist, svhn) = (Manifest::find(&recipe.mnist)?, Manifest::find(&recipe.svhn)?);
        Ok(cache::key_of_seed(
            seed,
            &[
                RECIPE,
                &format!("{:?} {:?}", mnist.content, svhn.content),
                &format!("{} {}", mnist.hub.revision, svhn.hub.revision),
                include_str!("mnist_svhn.rs"),
                include_str!("../decode.rs"),
                self.name(),
            ],
        ))
    }
}

/// `data/mnist-svhn.yaml`; what each key means stands there.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the YAML file documents its keys")]
pub struct PairRecipe {
    pub name: String,
    pub mnist: String,
    pub svhn: String,
    pub sizes: BTreeMap<String, PairSize>,
    pub mean: f32,
    pub sd: f32,
}

/// How many pairs a data set has.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the YAML file documents its keys")]
pub struct PairSize {
    pub train_per_class: usize,
    pub validation_per_class: usize,
    pub test_per_class: usize,
    pub matchings: usize,
}

impl PairRecipe {
    /// The recipe built into the program.
    ///
    /// # Errors
    /// When it cannot be read; a test keeps that from happening.
    pub fn built_in() -> Result<Self, DataError> {
        read_yaml(NAME, RECIPE)
    }

    /// Puts the data set `name` together from decoded records.
    ///
    /// # Errors
    /// When the records are too few, or no size is given for the data set.
    pub fn assemble(&self, name: &str, seed: u64, parts: &PairParts) -> Result<Dataset, DataError> {
        let size = self.sizes.get(name);
        let size = size.ok_or_else(|| self.wrong(format!("`sizes` lacks `{name}`")))?;
        let held_out = size.validation_per_class;
        let mut splits = [const { Vec::new() }; 3];
        for class in 0..CLASSES as u32 {
            let draw = |purpose: &str| Stream::at(seed, &format!("mnist-svhn/{purpose}"), u64::from(class));
            let train = in_drawn_order(&parts.train, class, |modality| draw(&format!("train/{modality}")));
            let test = in_drawn_order(&parts.test, class, |modality| draw(&format!("test/{modality}")));
            if train.iter().any(|images| images.len() <= held_out) || test.iter().any(Vec::is_empty) {
                let [train, test] = [train, test].map(|images| images.map(|images| images.len()));
                return Err(self.wrong(format!(
                    "class {class}: expected more than {held_out} images of MNIST and SVHN each in train and one in test, got \
                     {train:?} and {test:?}"
                )));
            }
            for (pairs, (split, images, most)) in splits.iter_mut().zip([
                ("train", [0, 1].map(|m| &train[m][held_out..]), size.train_per_class),
                ("validation", [0, 1].map(|m| &train[m][..held_out]), held_out),
                ("test", [0, 1].map(|m| &test[m][..]), size.test_per_class),
            ]) {
                let mut orders = MODALITIES.map(|modality| draw(&format!("matchings/{split}/{modality}")));
                for matching in 0..size.matchings {
                    pairs.extend(matched(images, most, &mut orders).map(|images| Pair { images, matching }));
                }
            }
        }
        let [train, validation, test] = splits.map(|pairs| self.samples(&pairs));
        let modalities = MODALITIES.iter().zip(&SHAPES);
        Ok(Dataset::new(
            name,
            modalities
                .map(|(name, shape)| ModalitySpec::new(*name, shape))
                .collect(),
            (0..CLASSES).map(|class| class.to_string()).collect(),
            train,
            validation,
            test,
        ))
    }

    fn samples(&self, pairs: &[Pair]) -> Samples {
        let inputs = [0, 1].map(|m| {
            let [channels, rows, columns] = SHAPES[m];
            let mut numbers = Vec::with_capacity(pairs.len() * channels * rows * columns);
            for pair in pairs {
                // The colours of a pixel lie together, an input has one plane a colour.
                let content = &pair.images[m].content;
                let planes = (0..channels).flat_map(|channel| content.iter().skip(channel).step_by(channels));
                numbers.extend(planes.map(|&x| (f32::from(x) / 255. - self.mean) / self.sd));
            }
            numbers
        });
        let labels = pairs.iter().map(|pair| pair.images[0].identity.label);
        Samples::complete(pairs.iter().map(Pair::id).collect(), inputs.into(), labels.collect())
    }

    fn wrong(&self, reason: String) -> DataError {
        DataError::Recipe {
            name: self.name.clone(),
            reason,
        }
    }
}

/// The decoded sources, MNIST and SVHN, each in its canonical order. Each image is there once: what the test part has, the
/// training part lacks.
#[derive(Clone, Debug)]
pub struct PairParts {
    train: [Vec<Record>; 2],
    test: [Vec<Record>; 2],
}

impl PairParts {
    /// Decodes and checks both sources.
    ///
    /// # Errors
    /// When a source cannot be had, does not hold what its manifest says or has images of another form.
    pub fn decode(mnist: &Manifest, svhn: &Manifest, hub: &Hub) -> Result<Self, DataError> {
        let mut parts = Self {
            train: [const { Vec::new() }; 2],
            test: [const { Vec::new() }; 2],
        };
        for (m, manifest) in [mnist, svhn].into_iter().enumerate() {
            let [channels, rows, columns] = SHAPES[m];
            let mut seen = HashSet::new();
            for (part, kept) in [("test", &mut parts.test[m]), ("train", &mut parts.train[m])] {
                *kept = records(manifest, part, hub)?;
                let fits = |image: &Record| {
                    image.form == [rows as u32, columns as u32] && image.content.len() == channels * rows * columns
                };
                if let Some(odd) = kept.iter().find(|image| !fits(image)) {
                    return Err(DataError::Recipe {
                        name: NAME.to_owned(),
                        reason: format!(
                            "{}: an image of {:?} pixels in {} bytes, expected {rows} x {columns} of {channels}",
                            manifest.name,
                            odd.form,
                            odd.content.len()
                        ),
                    });
                }
                kept.retain(|image| seen.insert(image.identity.sha256));
            }
        }
        Ok(parts)
    }
}

/// The images of a class of each source, in the order that the source's stream draws.
fn in_drawn_order(sources: &[Vec<Record>; 2], class: u32, stream: impl Fn(&str) -> Stream) -> [Vec<&Record>; 2] {
    [0, 1].map(|m| {
        let of_class = sources[m].iter().filter(|image| image.identity.label == class);
        let mut of_class: Vec<&Record> = of_class.collect();
        stream(MODALITIES[m]).shuffle(&mut of_class);
        of_class
    })
}

/// One matching: at most `most` images of each source in orders drawn anew, place by place.
fn matched<'a>(
    images: [&[&'a Record]; 2],
    most: usize,
    orders: &mut [Stream; 2],
) -> impl Iterator<Item = [&'a Record; 2]> {
    let n = images.iter().fold(most, |n, images| n.min(images.len()));
    let [first, second] = orders;
    let places = first.permutation(n).into_iter().zip(second.permutation(n));
    places.map(move |(first, second)| [images[0][first], images[1][second]])
}

/// An image of each source, of the same class.
struct Pair<'a> {
    images: [&'a Record; 2],
    matching: usize,
}

impl Pair<'_> {
    /// Both images' digests and the matching: the same two may meet in another.
    fn id(&self) -> String {
        let [mnist, svhn] = self.images.map(|image| image.identity.hex());
        format!("{}+{}+{}", &mnist[..12], &svhn[..12], self.matching)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_has_what_is_said_of_the_data_sets() {
        let recipe = PairRecipe::built_in().unwrap();
        let names = [&MnistSvhn::Full, &MnistSvhn::Small].map(DatasetSource::name);
        assert!(recipe.sizes.keys().map(String::as_str).eq([names[1], names[0]]));
        let small = recipe.sizes[NAME];
        let of_class = small.train_per_class + small.validation_per_class + small.test_per_class;
        assert_eq!(MnistSvhn::Small.samples(), Some(CLASSES * small.matchings * of_class));
        assert_eq!([&recipe.mnist[..], &recipe.svhn], MnistSvhn::Small.sources());
    }
}
