//! A question of a pod, and after it what another server says: every reply to it is as long as the pod takes at
//! the most, and is a reply to that very question.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ztunnel::fuzzing::answer_dns;

const HEADER: usize = 12;

fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first() else { return };
    let (question, elsewhere) = rest.split_at(rest.len().min((*length).into()));
    // Shorter ones are not taken for a reply.
    if elsewhere.len() < HEADER {
        return;
    }
    let Some((longest, replies)) = answer_dns(question, elsewhere.to_vec()) else { return };
    for (index, reply) in replies.iter().enumerate() {
        assert!(reply.len() >= HEADER && reply.len() <= longest.max(512), "{} of {longest}", reply.len());
        // The last one goes to another server, with an id of its own.
        assert!(index == 3 || reply[..2] == question[..2]);
        // What others say was a reply before; ours are made here.
        assert!(index >= 2 || reply[2] & 0x80 != 0);
    }
});
