//! `DELETE` on an upload URL, the same in every dialect that has it.

use actix_web::HttpRequest;

use super::{
    App,
    caller::caller,
    problem::{Fault, RequestFault},
    target::{Right, Target},
};
use crate::{
    domain::{
        account::Caller,
        upload::{UploadFate, UploadKind, UploadRecord},
    },
    uploads::UploadError,
};

/// Cancels the upload; a finished one is an image, and only its owner may delete that.
pub async fn discard(app: &App, request: &HttpRequest, target: &Target) -> Result<(), Fault> {
    if target.record.kind == UploadKind::Partial {
        return Ok(app.jobs.discard_partial(&target.record).await?);
    }
    let UploadRecord { image, account, fate, .. } = target.record;
    match fate {
        UploadFate::Open => {
            let by = match target.right {
                Right::Capability => Caller { account, admin: false },
                Right::Session(caller) => caller,
            };
            // Of this URL's run: the job may be running again since the record was read.
            app.jobs.cancel_run(by, target.record.run()).await?;
            Ok(())
        }
        UploadFate::Published => {
            let by = match target.right {
                Right::Session(caller) => caller,
                Right::Capability => caller(app, request).await.map_err(owner_only)?,
            };
            if !by.admin && by.account != account {
                return Err(RequestFault::OwnerOnly.into());
            }
            app.jobs.delete_image(by, image, false, &[]).await?;
            Ok(())
        }
        UploadFate::Discarded | UploadFate::Expired => Err(UploadError::Gone { fate }.into()),
    }
}

/// Without a session the URL is all that the client has, and here that is not enough.
fn owner_only(fault: Fault) -> Fault {
    match fault {
        Fault::Request(RequestFault::NoSession) => RequestFault::OwnerOnly.into(),
        other => other,
    }
}
