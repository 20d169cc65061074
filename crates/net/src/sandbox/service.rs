//! Moving frames and bytes.

use std::time::Duration;

use faas_netstack::{FlowId, Stack};
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;

use super::{DeviceGone, Sandbox};
use crate::host::{HostSocket, Received};
use crate::surroundings::{Shared, refusal};
use crate::token::Token;

/// Frames that are read in one turn: more would let others wait behind a bulk transfer.
const FRAMES_A_TURN: usize = 4;
/// Datagrams of one flow that are passed on in one turn.
const DATAGRAMS_A_TURN: usize = 16;

impl Sandbox {
    /// Reads some frames, and serves the flows that they moved.
    pub(crate) fn read_device(&mut self, now: Duration, shared: &mut Shared) -> Result<(), DeviceGone> {
        let mut moved = [None; FRAMES_A_TURN];
        for place in &mut moved {
            let length = match rustix::io::read(&self.device, &mut shared.incoming[..]) {
                Ok(length) => length,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                Err(_) => return Err(DeviceGone),
            };
            // The buffer is on loan while the stack may write to the device.
            let frame = std::mem::take(&mut shared.incoming);
            let (stack, mut surroundings) = self.split(shared);
            *place = stack.input(&frame[..length], now, &mut surroundings);
            shared.incoming = frame;
            self.tell_unreached(shared);
        }
        for (place, flow) in moved.iter().enumerate() {
            if let Some(flow) = flow
                && !moved[..place].contains(&Some(*flow))
            {
                self.serve(*flow, now, shared);
            }
        }
        Ok(())
    }

    /// Passes on what datagrams met.
    pub(super) fn tell_unreached(&mut self, shared: &mut Shared) {
        for (flow, why) in std::mem::take(&mut shared.unreached) {
            let (stack, mut surroundings) = self.split(shared);
            stack.unreachable(flow, why, &mut surroundings);
        }
    }

    /// Moves bytes between a flow and its socket, and sends what the program is to get.
    pub(crate) fn serve(&mut self, flow: FlowId, now: Duration, shared: &mut Shared) {
        let more = match self.sockets.get_mut(&flow) {
            Some(socket) if socket.is_udp => self.serve_udp(flow, now, shared),
            Some(socket) => {
                let carried = carry(&mut self.stack, flow, socket, now);
                let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                if socket.begins_to_wait_for_room()
                    && epoll::modify(&shared.epoll, &socket.socket, Token::Flow(flow).data(), interest).is_err()
                {
                    self.stack.abort(flow);
                }
                let (stack, mut surroundings) = self.split(shared);
                match carried {
                    Carried::All { shut: true } => stack.flush_soon(flow, now, &mut surroundings),
                    Carried::All { shut: false } => stack.flush(flow, now, &mut surroundings),
                    Carried::Part => {
                        stack.flush(flow, now, &mut surroundings);
                        true
                    }
                }
            }
            None => {
                let (stack, mut surroundings) = self.split(shared);
                stack.flush(flow, now, &mut surroundings)
            }
        };
        if more {
            self.enqueue(flow);
        }
    }

    fn serve_udp(&mut self, flow: FlowId, now: Duration, shared: &mut Shared) -> bool {
        for _ in 0..DATAGRAMS_A_TURN {
            let Some(socket) = self.sockets.get_mut(&flow) else { return false };
            let mut buffer = std::mem::take(&mut shared.incoming);
            let received = socket.receive(&mut buffer);
            let (stack, mut surroundings) = self.split(shared);
            match received {
                Received::Bytes(length) => stack.datagram(flow, &buffer[..length], now, &mut surroundings),
                Received::Failed(error) => stack.unreachable(flow, refusal(error), &mut surroundings),
                Received::Nothing | Received::End => {}
            }
            shared.incoming = buffer;
            if matches!(received, Received::Nothing | Received::End) {
                return false;
            }
        }
        true
    }
}

/// What was moved in both directions.
enum Carried {
    /// All that there was; `shut` says that the far end learned by it that the program sends no more.
    All { shut: bool },
    /// What found room: the far end has more.
    Part,
}

/// Moves what fits in both directions.
fn carry(stack: &mut Stack, flow: FlowId, socket: &mut HostSocket, now: Duration) -> Carried {
    while stack.read(flow, now, |bytes| socket.send(bytes)) > 0 {}
    let outlook = stack.outlook(flow);
    let shut = outlook.drained && socket.shut();
    let mut room = outlook.room;
    // Two parts where the free room wraps around.
    for _ in 0..2 {
        if room == 0 || !socket.readable || socket.ended {
            break;
        }
        let mut received = Received::Nothing;
        let filled = stack.write(flow, now, |room| {
            received = socket.receive(room);
            if let Received::Bytes(count) = received { count } else { 0 }
        });
        room -= filled;
        if received == Received::End {
            stack.finish(flow, now);
        }
    }
    if socket.has_failed() {
        stack.abort(flow);
    }
    let has_more = room > 0 && socket.readable && !socket.ended && !socket.has_failed();
    if has_more { Carried::Part } else { Carried::All { shut: shut && !socket.has_failed() } }
}
