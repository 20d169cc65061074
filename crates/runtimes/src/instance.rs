//! A ready instance as the engine holds it.

use std::time::Duration;

use async_trait::async_trait;
use faas_ports::{ExchangeItem, Instance, InstanceExit, InstanceUsage, Invocation, ProcessCount};
use faas_types::{InstanceId, IsolationLevel};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use crate::exchange::Exchange;
use crate::link::Link;

/// A live runtime in its sandbox. Dropping it kills the sandbox, which also ends its driver.
pub(crate) struct LiveInstance {
    pub(crate) id: InstanceId,
    pub(crate) concurrency: u32,
    pub(crate) streams_bodies: bool,
    pub(crate) link: Link,
}

// === impl LiveInstance ===

#[async_trait]
impl Instance for LiveInstance {
    fn id(&self) -> InstanceId {
        self.id
    }

    fn isolation(&self) -> IsolationLevel {
        self.link.control.level()
    }

    fn concurrency(&self) -> u32 {
        self.concurrency
    }

    fn streams_bodies(&self) -> bool {
        self.streams_bodies
    }

    fn invoke(&self, invocation: Invocation) -> BoxStream<'static, ExchangeItem> {
        let Link { streams, outbox, .. } = &self.link;
        Exchange::begin(streams, outbox, invocation, self.streams_bodies).boxed()
    }

    async fn settle(&self, within: Duration) -> bool {
        let mut answered = self.link.pongs.subscribe();
        let number = self.link.outbox.send_ping();
        let answer = answered.wait_for(|last| *last >= number);
        matches!(tokio::time::timeout(within, answer).await, Ok(Ok(_)))
    }

    fn usage(&self) -> InstanceUsage {
        self.link.control.usage()
    }

    fn tasks(&self) -> Option<u32> {
        self.link.control.tasks()
    }

    fn processes(&self) -> Option<u32> {
        self.link.control.processes()
    }

    fn process_count(&self) -> Option<ProcessCount> {
        self.link.control.process_count()
    }

    async fn stop(&self, grace: Duration) -> InstanceExit {
        if !grace.is_zero() {
            self.link.outbox.send_shutdown();
        }
        self.link.end(grace).await
    }

    async fn exited(&self) -> InstanceExit {
        self.link.judged(self.link.control.wait().await)
    }
}

impl Drop for LiveInstance {
    fn drop(&mut self) {
        self.link.control.kill();
    }
}
