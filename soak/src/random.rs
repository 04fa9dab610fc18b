//! Random numbers that a seed repeats: every decision of a run comes from here.

/// A small generator (xorshift64*).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// Seeds that are close to each other give numbers that are not.
    pub fn new(seed: u64) -> Random {
        let mixed = (seed ^ (seed >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Random((mixed ^ (mixed >> 29)) | 1)
    }

    /// Any number: the seed of another generator, for one.
    pub fn any(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below this one.
    pub fn below(&mut self, most: u64) -> u64 {
        (self.any() >> 16) % most
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of several things.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}
