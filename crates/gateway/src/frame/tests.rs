use proptest::prelude::*;

use super::*;

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("small");
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

/// Keeps what it is shown, and edits by tag: `x` is left out, `i` gets another before it, `h` holds
/// back, `g` lets go, `s` stops.
#[derive(Default)]
struct Recorder {
    seen: Vec<(u8, u32, Vec<u8>)>,
    look: u32,
}

impl Watcher for Recorder {
    fn look(&self, _: u8) -> u32 {
        self.look
    }

    fn message(&mut self, message: &Message<'_>, edit: &mut Edit<'_>) -> Step {
        match message.tag {
            b's' => return Step::Stop,
            b'x' if message.is_whole() => edit.skip(message.at, message.length()),
            b'i' => edit.insert(message.at, b"(inserted)"),
            b'h' => edit.hold_back(message.at),
            b'g' => edit.let_go(),
            _ => {}
        }
        let look = message.body[..message.body.len().min(self.look as usize)].to_vec();
        self.seen.push((message.tag, message.size, look));
        Step::Next
    }
}

/// Feeds chunks as a flow does: what was not read comes again, with more after it.
fn feed(chunks: &[&[u8]], look: u32) -> (Recorder, Vec<u8>, Frames, Result<(), BadLength>) {
    let mut watcher = Recorder { look, ..Recorder::default() };
    let (mut frames, mut unread, mut passed, mut spare) =
        (Frames::default(), Vec::new(), Vec::new(), Vec::new());
    for chunk in chunks {
        unread.extend_from_slice(chunk);
        let mut edit = Edit::new(&unread, &mut spare, false);
        match frames.scan(&unread, &mut watcher, &mut edit) {
            Ok(scanned) => {
                passed.extend_from_slice(edit.finish(scanned.bytes).bytes);
                unread.drain(..scanned.bytes);
            }
            Err(error) => return (watcher, passed, frames, Err(error)),
        }
    }
    (watcher, passed, frames, Ok(()))
}

/// Cuts `bytes` at the given places, taken modulo what is left.
fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut chunks) = (bytes, Vec::new());
    for at in cuts {
        let (head, tail) = rest.split_at(at % (rest.len() + 1));
        chunks.push(head);
        rest = tail;
    }
    chunks.push(rest);
    chunks
}

proptest! {
    #[test]
    fn any_chunking_of_a_stream_shows_the_same_messages_and_passes_the_same_bytes(
        messages in prop::collection::vec(
            (prop::sample::select(b"DZCxi".to_vec()), prop::collection::vec(any::<u8>(), 0..40)), 0..20),
        cuts in prop::collection::vec(0usize..64, 0..60),
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
        let wanted: Vec<u8> = messages.iter().flat_map(|(tag, body)| match tag {
            b'x' => Vec::new(),
            b'i' => [b"(inserted)", &message(*tag, body)[..]].concat(),
            _ => message(*tag, body),
        }).collect();
        let (whole, passed, frames, result) = feed(&[&stream], 100);
        prop_assert_eq!((&passed, result), (&wanted, Ok(())));
        prop_assert!(frames.at_boundary());
        let seen: Vec<_> = messages.iter().map(|(tag, body)| {
            (*tag, u32::try_from(body.len()).expect("small"), body.clone())
        }).collect();
        prop_assert_eq!(&whole.seen, &seen);
        let (pieces, passed, frames, result) = feed(&cut(&stream, &cuts), 100);
        prop_assert_eq!((&passed, result), (&wanted, Ok(())));
        prop_assert_eq!(&pieces.seen, &seen);
        prop_assert!(frames.at_boundary());
    }

    #[test]
    fn garbage_never_panics_and_its_chunking_does_not_matter(
        garbage in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(0usize..64, 0..30),
        look in 0u32..10,
    ) {
        let (whole, _, _, result) = feed(&[&garbage], look);
        let (pieces, _, _, again) = feed(&cut(&garbage, &cuts), look);
        let heads = |recorder: Recorder| -> Vec<(u8, u32)> {
            recorder.seen.into_iter().map(|(tag, size, _)| (tag, size)).collect()
        };
        prop_assert_eq!((heads(whole), result), (heads(pieces), again));
    }
}

#[test]
fn a_message_is_open_until_its_last_byte() {
    let stream = message(b'D', b"1234");
    for end in HEADER..=stream.len() {
        let (_, passed, frames, _) = feed(&[&stream[..end]], 0);
        assert_eq!(frames.at_boundary(), end == stream.len(), "{end}");
        assert_eq!(passed.len(), end);
    }
}

#[test]
fn what_is_looked_at_is_not_passed_on_in_part() {
    let stream = message(b'S', b"1234");
    let (watcher, passed, ..) = feed(&[&stream[..stream.len() - 1]], 4);
    assert!(watcher.seen.is_empty() && passed.is_empty());
    let (watcher, passed, ..) = feed(&[&stream[..HEADER + 2]], 2);
    assert_eq!((watcher.seen.len(), passed.len()), (1, HEADER + 2));
}

#[test]
fn a_stop_leaves_the_rest_unread() {
    let stream = [message(b'Q', b"a"), message(b's', b""), message(b'Q', b"b")].concat();
    let (mut frames, mut watcher, mut spare) = (Frames::default(), Recorder::default(), Vec::new());
    let mut edit = Edit::new(&stream, &mut spare, false);
    let scanned = frames.scan(&stream, &mut watcher, &mut edit).expect("good");
    assert_eq!(scanned, Scanned { bytes: 6, stopped: true });
    assert_eq!(edit.finish(scanned.bytes).bytes, message(b'Q', b"a"));
}

#[test]
fn what_is_held_back_is_known_in_the_edited_bytes() {
    let held = |stream: &[u8], held_back| {
        let (mut frames, mut watcher, mut spare) =
            (Frames::default(), Recorder::default(), Vec::new());
        let mut edit = Edit::new(stream, &mut spare, held_back);
        let scanned = frames.scan(stream, &mut watcher, &mut edit).expect("good");
        let edited = edit.finish(scanned.bytes);
        (edited.bytes.len(), edited.cut)
    };
    let m = |tag| message(tag, b"");
    assert_eq!(held(&[m(b'D'), m(b'h'), m(b'h')].concat(), false), (15, Some(5)));
    assert_eq!(held(&[m(b'h'), m(b'g'), m(b'D')].concat(), false), (15, None));
    assert_eq!(held(&[m(b'x'), m(b'D'), m(b'h')].concat(), false), (10, Some(5)));
    assert_eq!(held(&[m(b'D'), m(b'D')].concat(), true), (10, Some(0)));
    assert_eq!(held(&[m(b'g'), m(b'h')].concat(), true), (10, Some(5)));
    assert_eq!(held(&[m(b'i'), m(b'h')].concat(), false), (20, Some(15)));
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    for length in [0, 3, LARGEST_MESSAGE + 1, u32::MAX] {
        let bytes = [&[b'D'][..], &length.to_be_bytes()].concat();
        assert_eq!(feed(&[&bytes], 0).3, Err(BadLength), "{length}");
    }
    let bytes = [&[b'D'][..], &LARGEST_MESSAGE.to_be_bytes()].concat();
    assert_eq!(feed(&[&bytes], 0).3, Ok(()));
}
