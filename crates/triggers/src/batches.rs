//! How waiting messages are cut into batches. Pure.

use std::ops::Range;

use faas_ports::WaitingMessage;
use faas_types::{QueueTrigger, Timestamp, limits};

/// The batches that are due, and when the remaining messages are. A batch is due when it is full or when its first message
/// has waited for the window.
pub(super) fn due_batches(
    waiting: &[WaitingMessage],
    queue: &QueueTrigger,
    now: Timestamp,
) -> (Vec<Range<usize>>, Option<Timestamp>) {
    let (mut due, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (index, message) in waiting.iter().enumerate() {
        let is_over = bytes + message.payload.len() > limits::BATCH_BYTES_MAX;
        if index > begin && (is_over || index - begin == usize::from(queue.batch_size)) {
            due.push(begin..index);
            (begin, bytes) = (index, 0);
        }
        bytes += message.payload.len();
    }
    let Some(first) = waiting.get(begin) else { return (due, None) };
    let is_full = waiting.len() - begin == usize::from(queue.batch_size) || bytes >= limits::BATCH_BYTES_MAX;
    let window = queue.batch_window.get();
    // A message from the future, after the clock was moved back, counts as having waited.
    if is_full || first.at > now || now.since(first.at) >= window {
        due.push(begin..waiting.len());
        return (due, None);
    }
    (due, Some(first.at.plus(window)))
}

#[cfg(test)]
mod tests {
    use faas_types::Span;
    use proptest::prelude::*;

    use super::*;

    fn queue(batch_size: u16, window: u64) -> QueueTrigger {
        QueueTrigger {
            name: "q".parse().expect("a name"),
            topic: "t".parse().expect("a name"),
            batch_size,
            batch_window: Span::from_millis(window),
            retry: None,
            path: "/".to_owned(),
        }
    }

    proptest! {
        #[test]
        fn batches_are_whole_in_order_and_bounded(
            sizes in prop::collection::vec(0_usize..(3 << 20), 0..30), batch_size in 1_u16..6, window in 0_u64..50, late in 0_u64..60,
        ) {
            let waiting: Vec<_> = sizes.iter().zip(1..).map(|(size, seq)| WaitingMessage {
                seq, at: Timestamp::from_millis(100 + seq), hops: 0, payload: vec![0; *size].into(),
            }).collect();
            let now = Timestamp::from_millis(100 + late);
            let (due, next) = due_batches(&waiting, &queue(batch_size, window), now);
            let mut at = 0;
            for batch in &due {
                prop_assert_eq!(batch.start, at);
                prop_assert!(batch.end > at);
                at = batch.end;
                let bytes: usize = sizes[batch.clone()].iter().sum();
                prop_assert!(batch.len() <= usize::from(batch_size) && (batch.len() == 1 || bytes <= limits::BATCH_BYTES_MAX));
            }
            prop_assert_eq!(next.is_some(), at < waiting.len());
            prop_assert!(next.is_none_or(|next| next > now), "it would spin");
            prop_assert!(window > 0 || at == waiting.len(), "without a window nothing waits");
        }
    }
}
