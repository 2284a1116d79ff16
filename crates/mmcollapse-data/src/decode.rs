//! PNG and WAV, decoded with caps on size: a row of a data set may be anything, so nothing is believed.

use std::io::Cursor;

/// Longest side of an image, in pixels.
pub const LONGEST_SIDE: u32 = 4096;
/// Longest recording, in samples.
pub const LONGEST_CLIP: u32 = 10 * 60 * 48_000;

/// An image of 8-bit grey levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grey {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Row by row.
    pub pixels: Vec<u8>,
}

/// Decodes a PNG of 8-bit grey levels.
///
/// # Errors
/// Says what is wrong when it is none, has colours or another depth, or a side above [`LONGEST_SIDE`].
pub fn png(bytes: &[u8]) -> Result<Grey, String> {
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(64 << 20);
    let mut reader = image::ImageReader::with_format(Cursor::new(bytes), image::ImageFormat::Png);
    reader.limits(limits);
    let decoded = reader
        .decode()
        .map_err(|error| format!("not a readable PNG: {error}"))?;
    match decoded {
        image::DynamicImage::ImageLuma8(grey) => Ok(Grey {
            width: grey.width(),
            height: grey.height(),
            pixels: grey.into_raw(),
        }),
        other => Err(format!("a PNG of {:?}, expected 8-bit grey levels", other.color())),
    }
}

/// A recording of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// 16-bit samples.
    pub samples: Vec<i16>,
}

/// Decodes a WAV of one channel of 16-bit integers.
///
/// # Errors
/// Says what is wrong when it is none, has more channels or another depth, is cut off, or longer than
/// [`LONGEST_CLIP`].
pub fn wav(bytes: &[u8]) -> Result<Sound, String> {
    let unreadable = |error: hound::Error| format!("not a readable WAV: {error}");
    let reader = hound::WavReader::new(Cursor::new(bytes)).map_err(unreadable)?;
    let spec = reader.spec();
    if (spec.channels, spec.bits_per_sample, spec.sample_format) != (1, 16, hound::SampleFormat::Int) {
        return Err(format!(
            "a WAV of {} channels of {} bits ({:?}), expected one of 16-bit integers",
            spec.channels, spec.bits_per_sample, spec.sample_format
        ));
    }
    let announced = reader.duration();
    if announced > LONGEST_CLIP {
        return Err(format!("a WAV of {announced} samples, at most {LONGEST_CLIP} are read"));
    }
    // A header may announce more than follows: hound then fails at the first sample that is not there.
    let samples = reader
        .into_samples::<i16>()
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    Ok(Sound {
        rate: spec.sample_rate,
        samples,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn png_of(image: &image::DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn wav_of(channels: u16, samples: &[i16]) -> Vec<u8> {
        let spec = hound::WavSpec {
            channels,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        for &sample in samples {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn what_went_in_comes_out() {
        let pixels: Vec<u8> = (0..12).map(|i| i * 20).collect();
        let grey = image::GrayImage::from_raw(4, 3, pixels.clone()).unwrap();
        let decoded = png(&png_of(&grey.into())).unwrap();
        assert_eq!(
            decoded,
            Grey {
                width: 4,
                height: 3,
                pixels
            }
        );
        let samples = vec![0, 1, -1, i16::MAX, i16::MIN];
        assert_eq!(wav(&wav_of(1, &samples)).unwrap(), Sound { rate: 8000, samples });
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        let colour = png(&png_of(&image::DynamicImage::new_rgb8(2, 2))).unwrap_err();
        assert!(colour.contains("expected 8-bit grey"), "{colour}");
        let deep = png(&png_of(&image::DynamicImage::new_luma16(2, 2))).unwrap_err();
        assert!(deep.contains("expected 8-bit grey"), "{deep}");
        let stereo = wav(&wav_of(2, &[1, 2])).unwrap_err();
        assert!(stereo.contains("2 channels"), "{stereo}");
        assert!(png(b"RIFF").unwrap_err().contains("not a readable PNG"));
        assert!(wav(b"").unwrap_err().contains("not a readable WAV"));
    }

    #[test]
    fn sizes_are_capped_before_anything_is_allocated() {
        // A PNG header that announces 2^31-1 x 2^31-1 pixels.
        let mut bomb = png_of(&image::DynamicImage::new_luma8(1, 1));
        bomb[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        assert!(png(&bomb).is_err());
        // A WAV header that announces 4 GiB of samples.
        let mut long = wav_of(1, &[1, 2, 3]);
        long[40..44].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
        assert!(wav(&long).unwrap_err().contains("at most"));
        // One that announces a little more than follows.
        let mut cut = wav_of(1, &[1, 2, 3]);
        cut.truncate(cut.len() - 2);
        assert!(wav(&cut).is_err());
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(at in 0usize..200, byte: u8, cut in 0usize..200) {
            for whole in [
                png_of(&image::DynamicImage::new_luma8(9, 9)),
                wav_of(1, &[5; 40]),
            ] {
                let mut bytes = whole.clone();
                let i = at % bytes.len();
                bytes[i] = byte;
                let _ = (png(&bytes), wav(&bytes));
                bytes.truncate(cut);
                let _ = (png(&bytes), wav(&bytes));
            }
        }
    }
}
