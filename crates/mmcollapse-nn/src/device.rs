//! Where a model runs: `cpu`, `cuda:N` or `auto`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Device, Error, Result};

/// The device that tests run on: the one that `MMCOLLAPSE_TEST_DEVICE` names, else the processor.
///
/// # Errors
/// A name that is no device's, or a device that does not open.
pub fn test_device() -> Result<Device> {
    let name = std::env::var("MMCOLLAPSE_TEST_DEVICE").unwrap_or_else(|_| "cpu".into());
    name.parse::<DeviceChoice>()?.open()
}

/// The device that a person asks for on the command line or in a spec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA card of this number, counted from 0.
    Cuda(usize),
    /// The first NVIDIA card where the program was built for one and one answers, else the processor.
    Auto,
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// `cuda:N` in a program built without CUDA, or a card that does not answer; says what to do.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(ordinal) => open_cuda(ordinal),
            Self::Auto => Ok(open_cuda(0).unwrap_or(Device::Cpu)),
        }
    }
}

#[cfg(feature = "cuda")]
fn open_cuda(ordinal: usize) -> Result<Device> {
    // A card may be there and still take none of the program's kernels: the first one tells.
    let first_kernel = |device: Device| {
        crate::Tensor::zeros(1, crate::DType::F32, &device)?
            .affine(1.0, 1.0)
            .map(|_| device)
    };
    // The driver library is looked up at run time, and a machine without it makes the look-up panic.
    std::panic::catch_unwind(|| Device::new_cuda(ordinal).and_then(first_kernel))
        .unwrap_or_else(|_| Err(Error::Msg("the CUDA driver library cannot be loaded".into())))
        .map_err(|error| {
            let error = error.to_string();
            let help = if error.contains("UNSUPPORTED_PTX_VERSION") || error.contains("NO_BINARY_FOR_GPU") {
                "the program was built with a newer CUDA than the driver knows, or for a newer card: build it with at most the \
                 CUDA version that `nvidia-smi` prints, and CUDA_COMPUTE_CAP of the card"
            } else {
                "see which cards `nvidia-smi` lists"
            };
            Error::Msg(format!("device cuda:{ordinal} does not open: {error}; {help}, or use `cpu`"))
        })
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(ordinal: usize) -> Result<Device> {
    Err(Error::Msg(format!(
        "device cuda:{ordinal} is not available: this program was built without CUDA; \
         build it with `--features cuda`, or use `cpu`"
    )))
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "auto" => Ok(Self::Auto),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| {
                    Error::Msg(format!(
                        "`{text}` is no device: expected cpu, cuda:N (N counted from 0) or auto"
                    ))
                }),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(ordinal) => write!(formatter, "cuda:{ordinal}"),
            Self::Auto => formatter.write_str("auto"),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for choice in [DeviceChoice::Cpu, DeviceChoice::Cuda(3), DeviceChoice::Auto] {
            assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
            let json = serde_json::to_string(&choice).unwrap();
            assert_eq!(serde_json::from_str::<DeviceChoice>(&json).unwrap(), choice);
        }
    }

    #[test]
    fn an_unknown_name_says_what_is_known() {
        for text in ["", "gpu", "cuda", "cuda:", "cuda:-1", "CPU"] {
            let error = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(error.contains("cuda:N"), "{text}: {error}");
        }
    }

    #[test]
    fn the_processor_is_always_there() {
        assert!(DeviceChoice::Cpu.open().unwrap().is_cpu());
        assert!(DeviceChoice::Auto.open().is_ok());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_card_needs_a_program_built_for_it() {
        let error = DeviceChoice::Cuda(0).open().unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }
}
