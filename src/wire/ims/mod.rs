//! The Image Management Service of Open Telekom Cloud and Huawei Cloud (IMS): its view of jobs, its errors, and as much of Keystone v3
//! as its clients log in with.

mod error;
mod job;
mod keystone;

pub use error::{Code, ErrorBody, ErrorDetail, GatewayError, NOT_AUTHENTICATED};
pub use job::{
    Created, Entities, Job, JobList, Received, Shown, Status, SubEntities, SubJob, TASK, job,
    job_in_list, split_job_id, sub_job,
};
pub use keystone::{
    Auth, AuthRequest, DOMAIN, Endpoint, Identity, Issued, KeystoneError, KeystoneFault, Named,
    Owned, PasswordMethod, Project, Role, Service, Token, TokenBody, User, VersionBody, version,
};
