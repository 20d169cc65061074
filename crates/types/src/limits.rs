//! Bounds on every size, count, depth and time that comes from outside.

use std::time::Duration;

use crate::ByteSize;

/// Request and response body of one invocation.
pub const BODY_MAX: u64 = 10 << 20;
/// Headers of a reply. Common clients take a hundred, those that the server adds included.
pub const REPLY_FIELDS_MAX: usize = 80;
/// Bytes of a reply's headers.
pub const REPLY_HEAD_MAX: usize = 64 << 10;
/// Bytes of answers that wait for their clients, of all connections together.
pub const ANSWERS_MAX: u64 = 512 << 20;
/// Request bodies that are collected before their handlers run, of all calls together.
pub const BODIES_MAX: u64 = 512 << 20;
/// Timeout when the manifest is silent.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Shortest timeout.
pub const TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Longest timeout.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(15 * 60);
/// Time for an instance to become ready: sandbox, runtime and the import of user code.
pub const INIT_TIMEOUT: Duration = Duration::from_secs(30);
/// Memory when the manifest is silent, and the least one can ask for.
pub const MEMORY_MIN: ByteSize = ByteSize::from_mib(128);
/// The most memory one instance can ask for.
pub const MEMORY_MAX: ByteSize = ByteSize::from_mib(4096);
/// The least and the most that a manifest can ask for `/tmp`.
pub const TMP_RANGE: (ByteSize, ByteSize) = (ByteSize::from_mib(1), ByteSize::from_mib(4096));
/// The fewest and the most processes and threads that a manifest can ask for.
pub const PIDS_RANGE: (u32, u32) = (16, 4096);
/// The largest kept answer when the manifest is silent.
pub const CACHE_ENTRY: ByteSize = ByteSize::from_mib(1);
/// The longest lifetime that a manifest can give answers.
pub const CACHE_TTL_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Size of an instance's private `/tmp` when the manifest is silent.
pub const TMP_BYTES: u64 = 64 << 20;
/// Processes and threads in one sandbox when the manifest is silent.
pub const PIDS_MAX: u32 = 128;
/// Open files per process in a sandbox.
pub const OPEN_FILES_MAX: u64 = 1024;
/// Log bytes kept for one run; what follows is counted and dropped.
pub const LOG_BYTES_PER_RUN: u64 = 1 << 20;
/// Bytes that a log line counts for besides its text, so that many empty ones are bounded as well.
pub const LOG_LINE_COST: u64 = 64;
/// Bytes of the message of an error that a function raised, and of what says why a request does not fit it.
pub const ERROR_MESSAGE_MAX: usize = 8 << 10;
/// Entries of the stack of an error that a function raised.
pub const ERROR_STACK_MAX: usize = 200;
/// Bytes of that stack.
pub const ERROR_STACK_BYTES: usize = 32 << 10;
/// Bytes of one log line; a longer one is cut with a mark.
pub const LOG_LINE_MAX: usize = 16 << 10;
/// Files in one bundle.
pub const BUNDLE_FILES_MAX: usize = 20_000;
/// Branches and tags that the repository of a function keeps.
pub const GIT_REFS_MAX: usize = 256;
/// Bytes of the name of a branch or tag, with `refs/heads/` or `refs/tags/`.
pub const GIT_REF_MAX: usize = 200;
/// Bytes of all files in one bundle.
pub const BUNDLE_BYTES_MAX: u64 = 512 << 20;
/// Bytes of one file in a bundle.
pub const BUNDLE_FILE_MAX: u64 = 128 << 20;
/// Bytes of a path inside a bundle.
pub const BUNDLE_PATH_MAX: usize = 512;
/// Nesting of a path inside a bundle.
pub const BUNDLE_DEPTH_MAX: usize = 32;
/// Named layers of one function.
pub const LAYERS_MAX: usize = 8;
/// Bytes of the named layers of one function together.
pub const LAYERS_BYTES_MAX: u64 = 1 << 30;
/// Named layers of one project.
pub const NAMED_LAYERS_MAX: usize = 1_000;
/// Versions that one named layer has at a time.
pub const LAYER_VERSIONS_MAX: usize = 1_000;
/// Runtimes that a version of a named layer may name.
pub const LAYER_RUNTIMES_MAX: usize = 16;
/// Bytes of a file that says which packages a function needs.
pub const REQUIREMENTS_MAX: u64 = 512 << 10;
/// Bytes of a file that programs write to pin packages.
pub const LOCK_MAX: u64 = 4 << 20;
/// The longest that a build of packages may take.
pub const BUILD_TIME_MAX: Duration = Duration::from_secs(30 * 60);
/// Bytes of a manifest file.
pub const MANIFEST_MAX: u64 = 256 << 10;
/// Vars of one function.
pub const VARS_MAX: usize = 256;
/// Bytes of one var's value.
pub const VAR_VALUE_MAX: usize = 32 << 10;
/// Bytes of one secret.
pub const SECRET_VALUE_MAX: usize = 32 << 10;
/// Secrets of one stage of a project.
pub const SECRETS_MAX: usize = 1000;
/// Versions of a secret that are kept, the newest included.
pub const SECRET_VERSIONS_MAX: usize = 10;
/// Bytes below which a secret is not taken out of logs: so short a text is in many others.
pub const REDACTED_MIN: usize = 8;
/// Triggers of one function.
pub const TRIGGERS_MAX: usize = 32;
/// Bytes of the JSON that a cron trigger calls its function with.
pub const CRON_INPUT_MAX: usize = 64 << 10;
/// Values in one filter of an event trigger.
pub const EVENT_FILTERS_MAX: usize = 32;
/// Events and messages that one attempt of a run publishes and sends.
pub const PUBLICATIONS_MAX: u32 = 100;
/// How long a webhook's replaced secret may stay good.
pub const SECRET_OVERLAP_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a webhook's replaced secret stays good when the caller is silent.
pub const SECRET_OVERLAP_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// Missed ticks of a cron trigger that are made up for.
pub const CRON_CATCH_UP_MAX: u32 = 100;
/// The longest random delay of a cron trigger.
pub const CRON_JITTER_MAX: Duration = Duration::from_secs(60 * 60);
/// Instances of one function.
pub const INSTANCES_MAX: u32 = 1000;
/// Calls that share an instance of a runtime that does not block, when the manifest is silent.
pub const ASYNC_CONCURRENCY: u32 = 100;
/// Invocations waiting for an instance of one function.
pub const QUEUE_MAX: usize = 2000;
/// Invocations waiting for an instance of any function of this node.
pub const WAITING_MAX: u32 = 16_384;
/// Functions that are deployed together.
pub const GROUP_FUNCTIONS_MAX: usize = 32;
/// Functions in one project.
pub const FUNCTIONS_MAX: usize = 100_000;
/// Rows in one page of a listing.
pub const PAGE_MAX: u32 = 200;
/// Rows in one page when the caller is silent.
pub const PAGE_DEFAULT: u32 = 50;
/// Bytes of a control-plane request body (blobs and invocations have limits of their own).
pub const API_BODY_MAX: usize = 8 << 20;
/// Lines that are kept of what a function wrote while its version was checked.
pub const BUILD_LOG_LINES: usize = 500;
/// Bytes that are kept of it.
pub const BUILD_LOG_BYTES: usize = 64 << 10;
/// Bytes of a deployment's note.
pub const NOTE_MAX: usize = 1000;
/// Bytes of a run's result that its record keeps; larger results are not recorded.
pub const RESULT_KEPT_MAX: usize = 64 << 10;
/// Runs of one function that may wait when the manifest is silent.
pub const BACKLOG_DEFAULT: u32 = 100_000;
/// Runs of one function that may wait at the most.
pub const BACKLOG_MAX: u32 = 1_000_000;
/// Runs of one project that may wait.
pub const PROJECT_BACKLOG_MAX: u64 = 1_000_000;
/// Bytes of runs of one function that wait, with their inputs, when the configuration is silent.
pub const WAITING_BYTES: u64 = 1 << 30;
/// Bytes of runs of one project that wait, with their inputs, when the configuration is silent.
pub const PROJECT_WAITING_BYTES: u64 = 4 << 30;
/// Bytes that a run in the background counts for besides its input.
pub const RUN_COST: u64 = 1024;
/// Bytes of inputs that are kept of one function's ended runs when the configuration is silent.
pub const INPUT_BYTES: u64 = 1 << 30;
/// Bytes of inputs that are kept of one project's ended runs when the configuration is silent.
pub const PROJECT_INPUT_BYTES: u64 = 4 << 30;
/// What part of what may wait or be kept callers without a key get when the configuration is silent.
pub const KEYLESS_PERCENT: u8 = 50;
/// Attempts of one run.
pub const ATTEMPTS_MAX: u32 = 20;
/// Attempts of one run when the manifest is silent.
pub const ATTEMPTS_DEFAULT: u32 = 3;
/// The longest pause between two attempts, and the longest delay of a run.
pub const DELAY_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// The pause before the second attempt is at most this, when the manifest is silent.
pub const BACKOFF_DEFAULT: Duration = Duration::from_secs(1);
/// The pause before later attempts is at most this, when the manifest is silent.
pub const BACKOFF_CAP_DEFAULT: Duration = Duration::from_secs(300);
/// How long after its acceptance a run may begin another attempt, when the manifest is silent.
pub const RUN_AGE_DEFAULT: Duration = Duration::from_secs(6 * 3600);
/// How often a run may be lost with its server, without a verdict, before it is given up.
pub const LOST_MAX: u32 = 10;
/// Bytes of an input that the queue keeps itself; larger ones go to the blobs.
pub const INPUT_INLINE_MAX: usize = 64 << 10;
/// Bytes of an idempotency key or an ordering key.
pub const CALLER_KEY_MAX: usize = 255;
/// Characters of what a function's owners say it is for.
pub const DESCRIPTION_MAX: usize = 1_024;
/// Labels of a function.
pub const LABELS_MAX: usize = 64;
/// Characters of a label's name, and of its value.
pub const LABEL_MAX: usize = 128;
/// How long an idempotency key holds.
pub const CLAIM_AGE: Duration = Duration::from_secs(24 * 3600);
/// Bytes of an answer that is kept for repeated requests with its idempotency key.
pub const CLAIM_REPLY_MAX: usize = 1 << 20;
/// The same for callers without a key.
pub const KEYLESS_REPLY_MAX: usize = 64 << 10;
/// Idempotency keys of one function when the configuration is silent.
pub const CLAIMS_MAX: u64 = 1_000_000;
/// Idempotency keys of one project when the configuration is silent.
pub const PROJECT_CLAIMS_MAX: u64 = 4_000_000;
/// Bytes of answers that are kept of one function when the configuration is silent.
pub const ANSWER_BYTES: u64 = 64 << 20;
/// Bytes of answers that are kept of one project when the configuration is silent.
pub const PROJECT_ANSWER_BYTES: u64 = 256 << 20;
/// How long dead letters and the inputs of ended runs are kept.
pub const DEAD_LETTER_AGE: Duration = Duration::from_secs(14 * 24 * 3600);
/// Runs that one redrive or purge takes.
pub const REDRIVE_MAX: u32 = 1_000;
/// Runs in a row, each caused by the one before: as its destination, or by an event or a message of it. A circle of
/// functions ends here.
pub const HOPS_MAX: u32 = 16;
/// Bytes of a callback's URL.
pub const CALLBACK_URL_MAX: usize = 2_048;
/// Bytes of callbacks of one project that are not delivered, when the configuration is silent.
pub const CALLBACK_BYTES_WAITING: u64 = 1 << 30;
/// Bytes that an accepted run reserves for its callback until it ends: enough for one that leaves the result out.
pub const CALLBACK_RESERVED: u64 = 4 << 10;
/// Attempts of one callback.
pub const CALLBACK_ATTEMPTS_MAX: u32 = 50;
/// Attempts of one callback when the configuration is silent.
pub const CALLBACK_ATTEMPTS_DEFAULT: u32 = 12;
/// How long after its run's end a callback may begin another attempt.
pub const CALLBACK_AGE: Duration = Duration::from_secs(24 * 3600);
/// The pause before a callback's second attempt is at most this, when the configuration is silent.
pub const CALLBACK_BACKOFF_DEFAULT: Duration = Duration::from_secs(5);
/// The pause before a callback's later attempts is at most this.
pub const CALLBACK_BACKOFF_CAP: Duration = Duration::from_secs(3_600);
/// Rules of one list of a policy for connections.
pub const EGRESS_RULES_MAX: usize = 256;
/// Private networks that one function may ask for, or that an operator names.
pub const EGRESS_NETWORKS_MAX: usize = 64;
/// Networks and hosts that an operator may allow.
pub const ALLOWED_TARGETS_MAX: usize = 256;
/// Bytes of one message's body.
pub const MESSAGE_MAX: usize = 256 << 10;
/// Attributes of one message.
pub const MESSAGE_ATTRIBUTES_MAX: usize = 32;
/// Bytes of the name of an attribute of a message.
pub const MESSAGE_ATTRIBUTE_NAME_MAX: usize = 64;
/// Bytes of the value of an attribute of a message.
pub const MESSAGE_ATTRIBUTE_MAX: usize = 1024;
/// Messages that are sent with one request.
pub const MESSAGES_SENT_MAX: usize = 1000;
/// Topics of one project.
pub const TOPICS_MAX: u64 = 1000;
/// Messages that may wait in one topic.
pub const TOPIC_MESSAGES_MAX: u64 = 100_000;
/// Bytes that may wait in one topic.
pub const TOPIC_BYTES_MAX: u64 = 1 << 30;
/// Messages that may wait in all topics of a project.
pub const PROJECT_MESSAGES_MAX: u64 = 1_000_000;
/// Bytes that may wait in all topics of a project.
pub const PROJECT_MESSAGE_BYTES_MAX: u64 = 4 << 30;
/// Messages of one run of a queue trigger.
pub const BATCH_MAX: u16 = 1000;
/// Messages of one run of a queue trigger when the manifest is silent.
pub const BATCH_DEFAULT: u16 = 10;
/// How long the first message of a batch may wait for others.
pub const BATCH_WINDOW_MAX: Duration = Duration::from_secs(300);
/// Bytes of the messages of one run of a queue trigger, unless one alone is larger.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Aliases of a function, previews among them.
pub const ALIASES_MAX: usize = 64;
/// How long a preview stays that says nothing else.
pub const PREVIEW_AGE_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a preview may stay.
pub const PREVIEW_AGE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// Steps of a canary policy.
pub const CANARY_STEPS_MAX: usize = 16;
/// Versions of a function that are kept whether something needs them or not.
pub const VERSIONS_KEPT: u32 = 50;
/// Events of a function's aliases that are kept.
pub const DEPLOYMENTS_KEPT: usize = 500;
