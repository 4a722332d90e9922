//! The bodies of requests and responses that went through the layer.

mod request;
mod response;

pub use self::{request::RequestBody, response::ResponseBody};
