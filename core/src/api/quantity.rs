//! Amounts of resources: `100m`, `128Mi`, `0.5`, `1e3`.
//!
//! Source: Kubernetes, `resource.Quantity` ("Quantity is a fixed-point representation of a number").

use crate::api::by_name::ByName;
use crate::api::structs::Field;
use crate::api::text::Text;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::cmp::Ordering;
use std::fmt;

/// An amount, exact to a billionth, which remembers how its author wrote it.
///
/// Equality and order are those of the amount: `1` and `1000m` are equal.
#[derive(Clone, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    text: Text,
}

impl Quantity {
    /// So many whole units, for example bytes.
    pub fn whole(units: u64) -> Self {
        Quantity { nanos: i128::from(units) * NANOS, text: units.to_string().into() }
    }

    /// So many thousandths, for example of a processor.
    pub fn milli(thousandths: u64) -> Self {
        let text = match thousandths % 1000 {
            0 => (thousandths / 1000).to_string(),
            _ => format!("{thousandths}m"),
        };
        Quantity { nanos: i128::from(thousandths) * (NANOS / 1000), text: text.into() }
    }

    /// Thousandths, rounded up; `u64::MAX` beyond it, 0 if negative.
    pub fn milli_value(&self) -> u64 {
        saturate(self.nanos, NANOS / 1000)
    }

    /// Whole units, rounded up; `u64::MAX` beyond it, 0 if negative.
    pub fn value(&self) -> u64 {
        saturate(self.nanos, NANOS)
    }

    /// Billionths; `u64::MAX` beyond it, 0 if negative.
    pub fn nano_value(&self) -> u64 {
        saturate(self.nanos, 1)
    }

    /// So many thousandths, as Kubernetes writes an amount that it has reckoned: `64M`.
    ///
    /// Source: Kubernetes, `resource.Quantity`, `DecimalSI`.
    pub fn decimal(thousandths: u64) -> Self {
        Quantity::of_nanos(i128::from(thousandths) * (NANOS / 1000), false)
    }

    /// How many units, as near as such a number comes.
    pub fn units(&self) -> f64 {
        self.nanos as f64 / NANOS as f64
    }

    /// The sum, written as Kubernetes writes sums: in powers of 1024 if this is, or in those of 1000.
    ///
    /// Nothing is written as what is added to it is: `0` and `1Gi` are `1Gi`, `1Gi` and `512Mi` are `1536Mi`.
    pub fn plus(&self, other: &Quantity) -> Quantity {
        Quantity::of_nanos(self.nanos.saturating_add(other.nanos), self.by_1024_like(other))
    }

    /// The difference, written like a sum.
    pub fn minus(&self, other: &Quantity) -> Quantity {
        Quantity::of_nanos(self.nanos.saturating_sub(other.nanos), self.by_1024_like(other))
    }

    fn by_1024_like(&self, other: &Quantity) -> bool {
        let shape = if self.is_zero() && !self.text.ends_with('i') { other } else { self };
        shape.text.ends_with('i')
    }

    /// So many billionths, in the largest unit of which there is a whole number.
    fn of_nanos(nanos: i128, by_1024: bool) -> Self {
        let (units, is_whole) = (nanos / NANOS, nanos % NANOS == 0);
        let text = if by_1024 && is_whole && units.unsigned_abs() >= 1024 {
            let power = (units.trailing_zeros() / 10).min(6) as usize;
            format!("{}{}", units >> (10 * power), ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power])
        } else {
            let (mut number, mut power) = (nanos, 0);
            while number != 0 && number % 1000 == 0 && power < 9 {
                (number, power) = (number / 1000, power + 1);
            }
            let unit = if number == 0 { "" } else { ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][power] };
            format!("{number}{unit}")
        };
        Quantity { nanos, text: text.into() }
    }

    /// Whether the amount is one of whole units.
    pub fn is_whole(&self) -> bool {
        self.nanos % NANOS == 0
    }

    /// Whether the amount is zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether the amount is below zero.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }
}

const NANOS: i128 = 1_000_000_000;

fn saturate(nanos: i128, unit: i128) -> u64 {
    let nanos = nanos.max(0);
    u64::try_from(nanos / unit + i128::from(nanos % unit > 0)).unwrap_or(u64::MAX)
}

impl std::str::FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no quantity: expected a number with one of m k M G T P E Ki Mi Gi Ti Pi Ei or an exponent"
            )
        };
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let ends = |byte: u8| !byte.is_ascii_digit() && byte != b'.';
        let digits_end = unsigned.bytes().position(ends).unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(digits_end);
        let point = number.bytes().position(|byte| byte == b'.');
        let (whole, fraction) = point.map_or((number, ""), |at| (&number[..at], &number[at + 1..]));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 30 {
            return Err(wrong());
        }
        // As nearly all are written: a few digits and what they count.
        if let ("" | "Ki" | "Mi" | "Gi", true, 1..=9) =
            (suffix, text.len() == unsigned.len() && point.is_none(), whole.len())
        {
            let digits = whole.bytes().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'));
            let shift = suffix.bytes().next().map_or(0, |unit| match unit {
                b'K' => 10,
                b'M' => 20,
                _ => 30,
            });
            return Ok(Quantity { nanos: i128::from(digits << shift) * NANOS, text: text.into() });
        }
        let (multiplier, divisor): (i128, i128) = match suffix {
            "" => (1, 1),
            "n" => (1, NANOS),
            "u" => (1, 1_000_000),
            "m" => (1, 1_000),
            "k" => (1_000, 1),
            "M" => (1_000_000, 1),
            "G" => (1_000_000_000, 1),
            "T" => (1_000_000_000_000, 1),
            "P" => (1_000_000_000_000_000, 1),
            "E" => (1_000_000_000_000_000_000, 1),
            "Ki" => (1 << 10, 1),
            "Mi" => (1 << 20, 1),
            "Gi" => (1 << 30, 1),
            "Ti" => (1 << 40, 1),
            "Pi" => (1 << 50, 1),
            "Ei" => (1 << 60, 1),
            _ => {
                let exponent = suffix.strip_prefix(['e', 'E']).ok_or_else(wrong)?;
                let exponent: i32 = exponent.parse().map_err(|_| wrong())?;
                match exponent {
                    0..=18 => (10_i128.pow(exponent.unsigned_abs()), 1),
                    -18..=-1 => (1, 10_i128.pow(exponent.unsigned_abs())),
                    _ => return Err(wrong()),
                }
            }
        };
        // At most 30 digits: no overflow.
        let digits =
            whole.bytes().chain(fraction.bytes()).fold(0, |sum: i128, digit| sum * 10 + i128::from(digit - b'0'));
        let scale =
            10_i128.checked_pow(fraction.len() as u32).ok_or_else(wrong)?.checked_mul(divisor).ok_or_else(wrong)?;
        let scaled = digits.checked_mul(multiplier).and_then(|units| units.checked_mul(NANOS)).ok_or_else(wrong)?;
        // Rounded away from zero: a request is never made smaller than it was.
        let nanos = scaled / scale + i128::from(scaled % scale > 0);
        Ok(Quantity { nanos: if text.starts_with('-') { -nanos } else { nanos }, text: text.into() })
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "0" } else { &self.text })
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Amount;
        impl de::Visitor<'_> for Amount {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity (a string or a number)")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                text.trim().parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, units: u64) -> Result<Quantity, E> {
                Ok(Quantity::whole(units))
            }
            fn visit_i64<E: de::Error>(self, units: i64) -> Result<Quantity, E> {
                units.to_string().parse().map_err(E::custom)
            }
            fn visit_f64<E: de::Error>(self, units: f64) -> Result<Quantity, E> {
                units.to_string().parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Amount)
    }
}

impl Field for Quantity {
    fn is_absent(&self) -> bool {
        false
    }
}

/// Amounts by the resource they are of, in the order of its name: `cpu`, `memory`, `pods`.
pub type Amounts = ByName<Quantity>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kubernetes_reads() {
        let check =
            |text: &str, milli: u64| assert_eq!(text.parse::<Quantity>().unwrap().milli_value(), milli, "{text}");
        check("100m", 100);
        check("0.5", 500);
        check("1.", 1000);
        check(".25", 250);
        check("2", 2000);
        check("1Ki", 1_024_000);
        check("1.5Gi", 1_610_612_736_000);
        check("1e3", 1_000_000);
        check("12E-1", 1200);
        check("1n", 1);
        check("-1", 0);
        for wrong in ["", "m", "1x", "1.2.3", "1 Gi", "0x10", "1e99", "1mm", "--1", "١"] {
            assert!(wrong.parse::<Quantity>().is_err(), "{wrong}");
        }
        let read: Quantity = serde_json::from_str("\" 100m \"").unwrap();
        assert_eq!((read.milli_value(), read.to_string().as_str()), (100, "100m"));
    }

    #[test]
    fn digits_beyond_64_bits_count() {
        let amount = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!(amount("18446744073709551615").value(), u64::MAX);
        assert_eq!(amount("9999999999999999999").value(), 9_999_999_999_999_999_999);
        assert_eq!(amount("000000000000000000000000000001").value(), 1);
        assert_eq!(amount("1.000000000000000000000001").milli_value(), 1001);
        let most = amount("170141183460469231731687303715");
        assert_eq!((most.value(), most.milli_value()), (u64::MAX, u64::MAX));
    }

    #[test]
    fn the_short_way_and_the_long_one_agree() {
        for (digits, unit) in [("0", ""), ("7", "Ki"), ("999999999", "Gi"), ("110", ""), ("8", "Mi")] {
            let amount = |text: String| text.parse::<Quantity>().unwrap();
            assert_eq!(amount(format!("{digits}{unit}")), amount(format!("+{digits}.0{unit}")), "{digits}{unit}");
        }
    }

    #[test]
    fn amounts_are_in_the_order_of_their_resources() {
        let amounts: Amounts = serde_json::from_str(r#"{"pods":"110","cpu":2,"memory":"1Gi","cpu":"4"}"#).unwrap();
        assert_eq!(serde_json::to_string(&amounts).unwrap(), r#"{"cpu":"4","memory":"1Gi","pods":"110"}"#);
        assert_eq!((amounts.get("cpu"), amounts.get("gpu")), (Some(&Quantity::whole(4)), None));
        assert!(serde_json::from_str::<Amounts>(r#"["cpu"]"#).is_err());
        let mut few: Amounts = [("memory", Quantity::whole(1))].into();
        few.complete(&amounts);
        assert_eq!(serde_json::to_string(&few).unwrap(), r#"{"cpu":"4","memory":"1","pods":"110"}"#);
    }

    #[test]
    fn sums_are_written_as_kubernetes_writes_them() {
        let amount = |text: &str| text.parse::<Quantity>().unwrap();
        let check = |one: &str, other: &str, want: &str| {
            assert_eq!(amount(one).plus(&amount(other)).to_string(), want, "{one} and {other}");
            assert_eq!(amount(want), amount(one).plus(&amount(other)), "{one} and {other}");
            assert_eq!(amount(want).minus(&amount(other)), amount(one), "{want} without {other}");
        };
        check("100m", "1", "1100m");
        check("500m", "500m", "1");
        check("0", "1Gi", "1Gi");
        check("1Gi", "512Mi", "1536Mi");
        check("128Mi", "128Mi", "256Mi");
        check("1G", "1Gi", "2073741824");
        check("999", "1", "1k");
        check("512Ki", "1", "524289");
        check("1Ki", "0", "1Ki");
        assert_eq!(amount("1Gi").minus(&amount("1Gi")).to_string(), "0");
    }

    #[test]
    fn equal_amounts_are_equal_however_written() {
        let amount = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!(amount("1"), amount("1000m"));
        assert!(amount("1G") < amount("1Gi"));
        assert_eq!(amount("1000m").to_string(), "1000m");
        assert_eq!(Quantity::milli(1500).to_string(), "1500m");
    }
}
