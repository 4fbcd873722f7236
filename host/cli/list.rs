//! Lists and ranges of numbers, as llama-bench takes them: `0,512`, `1-8`, `512-2048+512`, `1-64*2`.

use std::str::FromStr;

/// The most numbers that a list may have: a slip of the hand must not become a day of measuring.
const MOST: usize = 1000;

/// A list of numbers, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers(pub Vec<usize>);

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = Vec::new();
        for part in text.split(',') {
            range(part, &mut numbers)?;
        }
        Ok(Self(numbers))
    }
}

fn range(text: &str, numbers: &mut Vec<usize>) -> Result<(), String> {
    let Some((first, rest)) = text.split_once('-') else {
        numbers.push(number(text)?);
        return Ok(());
    };
    let (last, step): (&str, Step) = if let Some((last, step)) = rest.split_once('+') {
        (last, Step::Add(number(step)?))
    } else if let Some((last, factor)) = rest.split_once('*') {
        (last, Step::Multiply(number(factor)?))
    } else {
        (rest, Step::Add(1))
    };
    let (mut at, last) = (number(first)?, number(last)?);
    if at > last {
        return Err(format!("the range {text} ends before it begins"));
    }
    while at <= last {
        if numbers.len() == MOST {
            return Err(format!("the list has more than {MOST} numbers"));
        }
        numbers.push(at);
        let next = match step {
            Step::Add(step) => at.checked_add(step),
            Step::Multiply(factor) => at.checked_mul(factor),
        };
        match next {
            Some(next) if next > at => at = next,
            Some(_) => return Err(format!("the range {text} never ends")),
            None => break,
        }
    }
    Ok(())
}

enum Step {
    Add(usize),
    Multiply(usize),
}

fn number(text: &str) -> Result<usize, String> {
    text.trim().parse().map_err(|_| format!("expected numbers like 512, 0,512 or 1-8, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Vec<usize> {
        text.parse::<Numbers>().unwrap().0
    }

    #[test]
    fn lists_and_ranges_are_those_of_llama_bench() {
        assert_eq!(parse("512"), [512]);
        assert_eq!(parse("0,512"), [0, 512]);
        assert_eq!(parse("1-4"), [1, 2, 3, 4]);
        assert_eq!(parse("512-2048+512"), [512, 1024, 1536, 2048]);
        assert_eq!(parse("1-100*4,7"), [1, 4, 16, 64, 7]);
        assert_eq!(parse("5-5"), [5]);
        assert_eq!(parse(&format!("{0}-{0}*2", usize::MAX)), [usize::MAX]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", ",", "a", "1,", "-1", "4-1", "1-4+0", "0-4*2", "1-4*1", "1-4+", "1.5", "0-1000000"] {
            assert!(text.parse::<Numbers>().is_err(), "{text}");
        }
    }
}
