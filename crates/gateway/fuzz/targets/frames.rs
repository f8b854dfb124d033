//! The messages in a stream, however it is cut.

use howdah_gateway::frame::{Edit, Frames, HEADER, Message, Step, Watcher};

use super::{Input, counted, message};

/// Looks at messages and edits some, by what their types are.
#[derive(Default)]
struct Editor {
    seen: Vec<(u8, u32, Vec<u8>)>,
}

fn look(tag: u8) -> u32 {
    u32::from(tag & 0x0f) * 3
}

impl Watcher for Editor {
    fn look(&self, tag: u8) -> u32 {
        look(tag)
    }

    fn message(&mut self, message: &Message<'_>, edit: &mut Edit<'_>) -> Step {
        let wanted = look(message.tag).min(message.size) as usize;
        assert!(message.body.len() >= wanted, "too little of a message is shown");
        assert!(message.body.len() <= message.size as usize, "more than a message is shown");
        self.seen.push((message.tag, message.size, message.body[..wanted].to_vec()));
        match message.tag >> 5 {
            1 => edit.insert(message.at, b"(more)"),
            // Whole in any cutting of the stream, as all of it is looked at.
            2 if look(message.tag) >= message.size => edit.skip(message.at, message.length()),
            _ => {}
        }
        Step::Next
    }
}

#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    seen: Vec<(u8, u32, Vec<u8>)>,
    passed: Vec<u8>,
    /// What could not be understood, or was not all there, and where in a message the end was.
    rest: Option<(Vec<u8>, Frames)>,
}

fn feed<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let (mut editor, mut frames) = (Editor::default(), Frames::default());
    let (mut unread, mut passed, mut spare) = (Vec::new(), Vec::new(), Vec::new());
    for chunk in chunks {
        unread.extend_from_slice(chunk);
        let mut edit = Edit::new(&unread, &mut spare, false);
        let Ok(scanned) = frames.scan(&unread, &mut editor, &mut edit) else {
            // What came before it may have been passed on, or not.
            return Outcome { seen: editor.seen, passed: Vec::new(), rest: None };
        };
        let most = HEADER + 255;
        assert!(unread.len() - scanned.bytes < most, "it waits for more than it looks at");
        passed.extend_from_slice(edit.finish(scanned.bytes).bytes);
        unread.drain(..scanned.bytes);
    }
    Outcome { seen: editor.seen, passed, rest: Some((unread, frames)) }
}

/// The same stream gives the same, whole and in pieces.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let cuts = input.bytes();
    let stream = input.0;
    let whole = feed(std::iter::once(stream));
    let mut rest = Input(stream);
    let mut pieces = cuts.iter().map(|cut| rest.take(usize::from(*cut))).collect::<Vec<_>>();
    pieces.push(rest.0);
    assert_eq!(feed(pieces.into_iter()), whole);
    assert_eq!(feed(stream.chunks(1)), whole);
}

/// Streams with cuts.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let answer = [message(b'T', &[0; 33]), message(b'D', &[1; 11]), message(b'C', b"SELECT 1\0")];
    let query = [message(b'P', b"\0select 1\0\0\0"), message(b'B', &[0; 9]), message(b'S', b"")];
    let odd = [message(0x2f, b"abc"), message(0x4f, b"left out"), message(0x00, b"")];
    [answer, query, odd].map(|stream| [counted(&[1, 5, 0, 7]), stream.concat()].concat()).into()
}
