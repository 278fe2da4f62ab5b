//! Tokens of the shop's login, good until the year 2100. The key that has signed them is gone; its public half stands in the
//! manifests.

/// Of jane, who is of the staff and a tester.
pub(super) const JANE: &str = "authorization:Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6InNob3AiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2xv\
     Z2luLnNob3AuZXhhbXBsZSIsImF1ZCI6InNob3AiLCJzdWIiOiJqYW5lIiwiZ3JvdXBzIjpbInRlc3RlcnMiLCJzdGFmZiJdLCJl\
     eHAiOjQxMDI0NDQ4MDB9.TBkMWTw7yQLeoBG_DseZKLjdqn_U3etC1AYS2SfTdJRRI7af3zmLSBbeAoFfG-1shvo3ZCCQpqIDCKL\
     kvlAqKY5c6I84RdWRNFib9-kRxH1aYNAVgnSSYsOjv_5GAR9VQZCpNFV4VF6TNXzwrqM3AiXHRnUesv7NqgL3wM9iRPCdolWq8_x\
     -DfUB81Udt5orX7NJNJTMrBSjk8fG6xHj3U_jNATfnCiwltsWT8jwbPSLk5Pv6Bv0BmeUbInu36GpC_ocqr3Wrz16KZKnR5FCh0O\
     aP1nsGw-THHyuzjKdk-9MQBmgsc3J8tG658VMYe8LQ0TTVJCd5US13HeiBoGJKA";

/// Of joe, a customer.
pub(super) const JOE: &str = "authorization:Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6InNob3AiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2xv\
     Z2luLnNob3AuZXhhbXBsZSIsImF1ZCI6InNob3AiLCJzdWIiOiJqb2UiLCJncm91cHMiOlsiY3VzdG9tZXJzIl0sImV4cCI6NDEw\
     MjQ0NDgwMH0.jBW9Qa7xWzUNbcttnUe7H-EBLclFsP7hxrIzkYqxjAnGafu8xoNp9XUTcosJC4Z7zx-VxFZwP4Dgzmp-CzkJDjJW\
     1p70up-aTU5Fn7weRfHk6YVTxbzF55vB_-ed9tSsEAZJx3JCEThKlqUIvmALHukcHOF9vvFkBlA4RUb0izffeS4rQhQT4k91T3t6\
     Jn9dJGs8mlfFSl_bc3h-oUb96MfI7P4VbxhgD5vJ4VagI7pjU2qynod2j1ohxkObc59Sm8zNZrScVz1xe1iXoKfBjjOHOdeXIWmH\
     -YscH-1u0GmGFnwfTWa2cUR6sno2S6AFSqQ2WtCk5qpFYfuyL-7yrw";

/// As if of jane, with joe's signature.
pub(super) const FORGED: &str = "authorization:Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6InNob3AiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2xv\
     Z2luLnNob3AuZXhhbXBsZSIsImF1ZCI6InNob3AiLCJzdWIiOiJqYW5lIiwiZ3JvdXBzIjpbInRlc3RlcnMiLCJzdGFmZiJdLCJl\
     eHAiOjQxMDI0NDQ4MDB9.jBW9Qa7xWzUNbcttnUe7H-EBLclFsP7hxrIzkYqxjAnGafu8xoNp9XUTcosJC4Z7zx-VxFZwP4Dgzmp\
     -CzkJDjJW1p70up-aTU5Fn7weRfHk6YVTxbzF55vB_-ed9tSsEAZJx3JCEThKlqUIvmALHukcHOF9vvFkBlA4RUb0izffeS4rQhQ\
     T4k91T3t6Jn9dJGs8mlfFSl_bc3h-oUb96MfI7P4VbxhgD5vJ4VagI7pjU2qynod2j1ohxkObc59Sm8zNZrScVz1xe1iXoKfBjjO\
     HOdeXIWmH-YscH-1u0GmGFnwfTWa2cUR6sno2S6AFSqQ2WtCk5qpFYfuyL-7yrw";
