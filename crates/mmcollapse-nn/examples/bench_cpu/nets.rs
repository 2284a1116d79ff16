//! The networks that are timed here and in `scripts/bench_pytorch.py`, and compared with PyTorch value by value
//! in `tests/pytorch_step.rs`. Parameter names are those of the Python side.

use mmcollapse_nn::layers::{BatchNorm2d, Conv2d, Dropout, Linear};
use mmcollapse_nn::{Mode, Result, Scope, Tensor, ops};

/// A classifier of samples that have one tensor for each modality.
pub trait Net {
    /// Shape of a sample in each modality.
    fn inputs(&self) -> Vec<Vec<usize>>;

    /// Logits `[batch, 10]` of `inputs`, one `[batch, shape..]` for each modality.
    ///
    /// # Errors
    /// If the inputs have other shapes.
    fn logits(&self, inputs: &[Tensor], mode: Mode) -> Result<Tensor>;

    /// What a step descends: the cross entropy of the logits where it is nothing else.
    ///
    /// # Errors
    /// If the inputs have other shapes.
    fn loss(&self, inputs: &[Tensor], targets: &[u32], mode: Mode) -> Result<Tensor> {
        ops::softmax_cross_entropy(&self.logits(inputs, mode)?, targets)
    }

    /// Norm that the gradients are clipped to, where they are.
    fn clip_norm(&self) -> Option<f64> {
        None
    }

    /// Multiply-adds that training on one sample takes: each layer forward, for its weights and, except in the
    /// first layers, for its input.
    fn multiply_adds(&self) -> usize;
}

/// Layers of a chain as (multiply-adds forward), the first of which needs no gradient of its input.
pub fn chain(layers: &[usize]) -> usize {
    layers.iter().sum::<usize>() * 3 - layers.first().unwrap_or(&0)
}

/// Image encoder of SMIL (Ma et al. 2021): LeNet5 on 1 x 28 x 28, 160 features.
pub struct SmilImage {
    conv1: Conv2d,
    conv2: Conv2d,
    dropout: Dropout,
}

impl SmilImage {
    /// `dropout` is that of the second convolution's units; SMIL has .5.
    ///
    /// # Errors
    /// If `scope` holds such layers already.
    pub fn new(scope: &Scope, dropout: f64) -> Result<Self> {
        Ok(Self {
            conv1: Conv2d::new(&scope.pp("conv1"), 1, 5, 5, 1, 0)?,
            conv2: Conv2d::new(&scope.pp("conv2"), 5, 10, 5, 1, 0)?,
            dropout: Dropout::new(&scope.pp("dropout"), dropout)?,
        })
    }

    fn features(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let x = self.conv1.forward_relu_pool2(x)?; // [batch, 5, 12, 12]
        let x = self.dropout.forward(&self.conv2.forward(&x)?, mode)?; // [batch, 10, 8, 8]
        ops::relu(&ops::max_pool2d(&x, 2, 2)?)?.flatten_from(1)
    }

    fn layers() -> [usize; 2] {
        [24 * 24 * 5 * 25, 8 * 8 * 10 * 125]
    }
}

/// Sound encoder of SMIL: SNetPluse on 1 x 20 x 20, 320 features.
pub struct SmilSound {
    conv1: Conv2d,
    norm1: BatchNorm2d,
    conv2: Conv2d,
    norm2: BatchNorm2d,
    conv3: Conv2d,
    norm3: BatchNorm2d,
    dropout: Dropout,
}

impl SmilSound {
    /// `dropout` is that of the features; SMIL has .25.
    ///
    /// # Errors
    /// If `scope` holds such layers already.
    pub fn new(scope: &Scope, dropout: f64) -> Result<Self> {
        Ok(Self {
            conv1: Conv2d::new(&scope.pp("conv1"), 1, 32, 2, 1, 0)?,
            norm1: BatchNorm2d::new(&scope.pp("norm1"), 32)?,
            conv2: Conv2d::new(&scope.pp("conv2"), 32, 48, 2, 1, 0)?,
            norm2: BatchNorm2d::new(&scope.pp("norm2"), 48)?,
            conv3: Conv2d::new(&scope.pp("conv3"), 48, 20, 2, 1, 0)?,
            norm3: BatchNorm2d::new(&scope.pp("norm3"), 20)?,
            dropout: Dropout::new(&scope.pp("dropout"), dropout)?,
        })
    }

    fn features(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let x = self.conv1.forward_norm_relu(&self.norm1, x, mode)?; // [batch, 32, 19, 19]
        let x = self.conv2.forward_norm_relu(&self.norm2, x, mode)?; // [batch, 48, 18, 18]
        let x = self.conv3.forward_norm_relu(&self.norm3, x, mode)?; // [batch, 20, 17, 17]
        let x = ops::max_pool2d(x, 2, 4)?; // [batch, 20, 4, 4]
        self.dropout.forward(&x, mode)?.flatten_from(1)
    }

    fn layers() -> [usize; 3] {
        [19 * 19 * 32 * 4, 18 * 18 * 48 * 128, 17 * 17 * 20 * 192]
    }
}

/// One of SMIL's encoders with a linear classifier.
pub struct Unimodal<E> {
    encoder: E,
    head: Linear,
}

impl Unimodal<SmilImage> {
    /// The image encoder and its classifier.
    ///
    /// # Errors
    /// If `scope` holds such layers already.
    pub fn image(scope: &Scope, dropout: f64) -> Result<Self> {
        Ok(Self {
            encoder: SmilImage::new(&scope.pp("encoder"), dropout)?,
            head: Linear::new(&scope.pp("head"), 160, 10)?,
        })
    }
}

impl Unimodal<SmilSound> {
    /// The sound encoder and its classifier.
    ///
    /// # Errors
    /// If `scope` holds such layers already.
    pub fn sound(scope: &Scope, dropout: f64) -> Result<Self> {
        Ok(Self {
            encoder: SmilSound::new(&scope.pp("encoder"), dropout)?,
            head: Linear::new(&scope.pp("head"), 320, 10)?,
        })
    }
}

impl Net for Unimodal<SmilImage> {
    fn inputs(&self) -> Vec<Vec<usize>> {
        vec![vec![1, 28, 28]]
    }

    fn logits(&self, inputs: &[Tensor], mode: Mode) -> Result<Tensor> {
        self.head.forward(&self.encoder.features(&inputs[0], mode)?)
    }

    fn multiply_adds(&self) -> usize {
        chain(&SmilImage::layers()) + 3 * 160 * 10
    }
}

impl Net for Unimodal<SmilSound> {
    fn inputs(&self) -> Vec<Vec<usize>> {
        vec![vec![1, 20, 20]]
    }

    fn logits(&self, inputs: &[Tensor], mode: Mode) -> Result<Tensor> {
        self.head.forward(&self.encoder.features(&inputs[0], mode)?)
    }

    fn multiply_adds(&self) -> usize {
        chain(&SmilSound::layers()) + 3 * 320 * 10
    }
}

/// SMIL's two encoders and its classifier of both: 480 - 64 - 10.
pub struct Smil {
    image: SmilImage,
    sound: SmilSound,
    hidden: Linear,
    dropout: Dropout,
    head: Linear,
}

impl Smil {
    /// With SMIL's dropout.
    ///
    /// # Errors
    /// If `scope` holds such layers already.
    pub fn new(scope: &Scope) -> Result<Self> {
        Ok(Self {
            image: SmilImage::new(&scope.pp("image"), 0.5)?,
            sound: SmilSound::new(&scope.pp("sound"), 0.25)?,
            hidden: Linear::new(&scope.pp("hidden"), 480, 64)?,
            dropout: Dropout::new(&scope.pp("dropout"), 0.6)?,
            head: Linear::new(&scope.pp("head"), 64, 10)?,
        })
    }
}

impl Net for Smil {
    fn inputs(&self) -> Vec<Vec<usize>> {
        vec![vec![1, 28, 28], vec![1, 20, 20]]
    }

    fn logits(&self, inputs: &[Tensor], mode: Mode) -> Result<Tensor> {
        let image = self.image.features(&inputs[0], mode)?;
        let sound = self.sound.features(&inputs[1], mode)?;
        let x = Tensor::cat(&[image, sound], 1)?; // [batch, 480]
        let x = self.dropout.forward(&self.hidden.forward_relu(&x)?, mode)?;
        self.head.forward(&x)
    }

    fn multiply_adds(&self) -> usize {
        chain(&SmilImage::layers()) + chain(&SmilSound::layers()) + 3 * (480 * 64 + 64 * 10)
    }
}

/// A LeNet on 1 x 28 x 28 beside four convolutions on 1 x 112 x 112, the sizes of avMNIST in MultiBench.
pub struct Cnn {
    image: Vec<Conv2d>,
    sound: Vec<Conv2d>,
    hidden: Linear,
    head: Linear,
}

impl Cnn {
    /// Channels of the sound branch, and of the input.
    const SOUND: [usize; 5] = [1, 8, 16, 32, 64];

    /// With PyTorch's default start.
    ///
    /// # Errors
    /// If `scope` holds such layers already.
    pub fn new(scope: &Scope) -> Result<Self> {
        let sound = (0..4).map(|i| {
            let scope = scope.pp(format!("sound{i}"));
            Conv2d::new(&scope, Self::SOUND[i], Self::SOUND[i + 1], 3, 1, 1)
        });
        Ok(Self {
            image: vec![
                Conv2d::new(&scope.pp("image0"), 1, 6, 5, 1, 2)?,
                Conv2d::new(&scope.pp("image1"), 6, 16, 5, 1, 0)?,
            ],
            sound: sound.collect::<Result<_>>()?,
            hidden: Linear::new(&scope.pp("hidden"), 400 + 3136, 128)?,
            head: Linear::new(&scope.pp("head"), 128, 10)?,
        })
    }
}

impl Net for Cnn {
    fn inputs(&self) -> Vec<Vec<usize>> {
        vec![vec![1, 28, 28], vec![1, 112, 112]]
    }

    fn logits(&self, inputs: &[Tensor], _mode: Mode) -> Result<Tensor> {
        let mut image = inputs[0].clone();
        for conv in &self.image {
            image = conv.forward_relu_pool2(&image)?; // [batch, 16, 5, 5] at the end
        }
        let mut sound = inputs[1].clone();
        for conv in &self.sound {
            sound = conv.forward_relu_pool2(&sound)?; // [batch, 64, 7, 7] at the end
        }
        let x = Tensor::cat(&[image.flatten_from(1)?, sound.flatten_from(1)?], 1)?;
        self.head.forward(&self.hidden.forward_relu(&x)?)
    }

    fn multiply_adds(&self) -> usize {
        let sound: Vec<usize> = (0..4)
            .map(|i| (112usize >> i).pow(2) * Self::SOUND[i + 1] * Self::SOUND[i] * 9)
            .collect();
        chain(&[28 * 28 * 6 * 25, 10 * 10 * 16 * 150]) + chain(&sound) + 3 * (3536 * 128 + 1280)
    }
}

/// Four branches 400-256-256-256, concatenated.
pub struct Mlp {
    branches: Vec<Vec<Linear>>,
    head: Linear,
}

impl Mlp {
    const WIDTHS: [usize; 4] = [400, 256, 256, 256];

    /// With PyTorch's default start.
    ///
    /// # Errors
    /// If `scope` holds such layers already.
    pub fn new(scope: &Scope) -> Result<Self> {
        let branch = |branch: usize| {
            let layer = |i: usize| {
                let scope = scope.pp(format!("branch{branch}_{i}"));
                Linear::new(&scope, Self::WIDTHS[i], Self::WIDTHS[i + 1])
            };
            (0..3).map(layer).collect()
        };
        Ok(Self {
            branches: (0..4).map(branch).collect::<Result<_>>()?,
            head: Linear::new(&scope.pp("head"), 1024, 10)?,
        })
    }
}

impl Net for Mlp {
    fn inputs(&self) -> Vec<Vec<usize>> {
        vec![vec![400]; 4]
    }

    fn logits(&self, inputs: &[Tensor], _mode: Mode) -> Result<Tensor> {
        let branch =
            |(layers, x): (&Vec<Linear>, &Tensor)| layers.iter().try_fold(x.clone(), |x, layer| layer.forward_relu(&x));
        let encodings: Vec<Tensor> = self.branches.iter().zip(inputs).map(branch).collect::<Result<_>>()?;
        self.head.forward(&Tensor::cat(&encodings, 1)?)
    }

    fn multiply_adds(&self) -> usize {
        4 * chain(&[400 * 256, 256 * 256, 256 * 256]) + 3 * 10240
    }
}
