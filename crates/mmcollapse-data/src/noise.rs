//! Speech in noise at a given ratio of powers.

/// Mean square of `samples`; 0 of none.
pub fn power(samples: &[f64]) -> f64 {
    samples.iter().map(|x| x * x).sum::<f64>() / samples.len().max(1) as f64
}

/// `speech`, followed by zeros to the length of `noise`, plus `noise` scaled so that
/// `10 log10(power(speech) / power(noise))` is `snr_db`. What of `speech` is longer than `noise` is cut before.
///
/// The power of speech is that of its own samples, without the zeros. Silent noise stays silent.
pub fn mix(speech: &[f64], noise: &[f64], snr_db: f64) -> Vec<f64> {
    let speech = &speech[..speech.len().min(noise.len())];
    let wanted = power(speech) / libm::pow(10., snr_db / 10.);
    let loudness = power(noise);
    let gain = if loudness > 0. { (wanted / loudness).sqrt() } else { 0. };
    let padded = speech.iter().copied().chain(std::iter::repeat(0.));
    padded.zip(noise).map(|(s, n)| s + gain * n).collect()
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::random::Stream;

    use super::*;

    #[test]
    fn the_ratio_is_what_was_asked_for() {
        let noise: Vec<f64> = Stream::new(0, "noise")
            .normal_vec(800)
            .iter()
            .map(|&x| f64::from(x))
            .collect();
        for (length, snr_db) in [(500, 3.), (800, -6.), (1200, 20.)] {
            let speech: Vec<f64> = (0..length).map(|i| 0.3 * libm::sin(f64::from(i) * 0.2)).collect();
            let mixed = mix(&speech, &noise, snr_db);
            assert_eq!(mixed.len(), 800);
            let heard = &speech[..speech.len().min(800)];
            let added: Vec<f64> = mixed
                .iter()
                .enumerate()
                .map(|(i, x)| x - heard.get(i).unwrap_or(&0.))
                .collect();
            let measured = 10. * libm::log10(power(heard) / power(&added));
            assert!((measured - snr_db).abs() < 1e-9, "{measured} dB, asked for {snr_db}");
        }
        assert_eq!(mix(&[0.5], &[0.; 3], 3.), [0.5, 0., 0.]);
    }
}
