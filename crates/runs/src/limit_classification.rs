//! The limit that a function's error shows to be reached.

use faas_types::{ByteSize, Code, Executed, Fault, FunctionError, InnerLimit, Reason, limits};

/// The failure of a run whose code raised `error`.
pub(crate) fn raised(error: FunctionError) -> Fault {
    let fault = match error.limit {
        None => Fault::new(Reason::FunctionError, format!("the function raised {}", error.kind)),
        Some(InnerLimit::Pids) => {
            Fault::new(Code::ProcessLimit, "the function has as many processes and threads as it may")
                .with_hint("raise `limits.pids` in the manifest, or start fewer at once")
        }
        Some(InnerLimit::Tmp) => Fault::new(Code::TmpFull, "the function has filled its /tmp")
            .with_hint("raise `limits.tmp` in the manifest, or remove files that are done with"),
        Some(InnerLimit::Reply) => {
            let most = ByteSize::from_bytes(limits::BODY_MAX);
            Fault::new(Reason::ReplyTooLarge, format!("the reply is larger than {most}"))
                .with_hint("return less, or store the result and return where it is")
        }
    };
    fault.with_function_error(error).with_executed(Executed::Yes)
}
