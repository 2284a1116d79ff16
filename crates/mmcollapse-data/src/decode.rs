//! PNG and WAV, decoded with caps on size: a row of a data set may be anything, so nothing is believed.

use std::io::Cursor;

use image::{DynamicImage, ImageBuffer, Pixel};

/// Longest side of an image, in pixels.
pub const LONGEST_SIDE: u32 = 4096;
/// Longest recording, in samples.
pub const LONGEST_CLIP: u32 = 10 * 60 * 48_000;

/// An image of 8-bit values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Row by row; of a pixel in colours red, green, blue.
    pub values: Vec<u8>,
}

/// Decodes a PNG of 8-bit grey levels.
///
/// # Errors
/// Says what is wrong when it is none, has colours or another depth, or a side above [`LONGEST_SIDE`].
pub fn png(bytes: &[u8]) -> Result<Pixels, String> {
    match decoded(bytes)? {
        DynamicImage::ImageLuma8(grey) => Ok(pixels(grey)),
        other => Err(format!("a PNG of {:?}, expected 8-bit grey levels", other.color())),
    }
}

/// Decodes a PNG of 8-bit red, green and blue.
///
/// # Errors
/// Says what is wrong when it is none, has grey levels, transparency or another depth, or a side above [`LONGEST_SIDE`].
pub fn png_rgb(bytes: &[u8]) -> Result<Pixels, String> {
    match decoded(bytes)? {
        DynamicImage::ImageRgb8(colours) => Ok(pixels(colours)),
        other => Err(format!(
            "a PNG of {:?}, expected 8-bit red, green and blue",
            other.color()
        )),
    }
}

fn pixels<P: Pixel<Subpixel = u8>>(image: ImageBuffer<P, Vec<u8>>) -> Pixels {
    Pixels {
        width: image.width(),
        height: image.height(),
        values: image.into_raw(),
    }
}

fn decoded(bytes: &[u8]) -> Result<DynamicImage, String> {
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(64 << 20);
    let mut reader = image::ImageReader::with_format(Cursor::new(bytes), image::ImageFormat::Png);
    reader.limits(limits);
    reader.decode().map_err(|error| format!("not a readable PNG: {error}"))
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

    fn png_of(image: &DynamicImage) -> Vec<u8> {
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
        let values: Vec<u8> = (0..12).map(|i| i * 20).collect();
        let of = |width, height| Pixels {
            width,
            height,
            values: values.clone(),
        };
        let grey = image::GrayImage::from_raw(4, 3, values.clone()).unwrap();
        assert_eq!(png(&png_of(&grey.into())).unwrap(), of(4, 3));
        let colours = image::RgbImage::from_raw(2, 2, values.clone()).unwrap();
        assert_eq!(png_rgb(&png_of(&colours.into())).unwrap(), of(2, 2));
        let samples = vec![0, 1, -1, i16::MAX, i16::MIN];
        assert_eq!(wav(&wav_of(1, &samples)).unwrap(), Sound { rate: 8000, samples });
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        let colour = png(&png_of(&DynamicImage::new_rgb8(2, 2))).unwrap_err();
        assert!(colour.contains("expected 8-bit grey"), "{colour}");
        let deep = png(&png_of(&DynamicImage::new_luma16(2, 2))).unwrap_err();
        assert!(deep.contains("expected 8-bit grey"), "{deep}");
        for other in [
            DynamicImage::new_luma8(2, 2),
            DynamicImage::new_rgba8(2, 2),
            DynamicImage::new_rgb16(2, 2),
        ] {
            let error = png_rgb(&png_of(&other)).unwrap_err();
            assert!(error.contains("expected 8-bit red, green and blue"), "{error}");
        }
        let stereo = wav(&wav_of(2, &[1, 2])).unwrap_err();
        assert!(stereo.contains("2 channels"), "{stereo}");
        assert!(png(b"RIFF").unwrap_err().contains("not a readable PNG"));
        assert!(wav(b"").unwrap_err().contains("not a readable WAV"));
    }

    #[test]
    fn sizes_are_capped_before_anything_is_allocated() {
        // A PNG header that announces 2^31-1 x 2^31-1 pixels.
        let mut bomb = png_of(&DynamicImage::new_luma8(1, 1));
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
                png_of(&DynamicImage::new_luma8(9, 9)),
                png_of(&DynamicImage::new_rgb8(9, 9)),
                wav_of(1, &[5; 40]),
            ] {
                let mut bytes = whole.clone();
                let i = at % bytes.len();
                bytes[i] = byte;
                let _ = (png(&bytes), png_rgb(&bytes), wav(&bytes));
                bytes.truncate(cut);
                let _ = (png(&bytes), png_rgb(&bytes), wav(&bytes));
            }
        }
    }
}
