//! What every HTTP door shares: keys, request ids, problem answers, calls.
