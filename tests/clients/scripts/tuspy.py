"""One upload by the real tuspy. argv[1] is JSON: endpoint, token, file, chunk_size, checksum, stop_at, url."""
import json
import sys

from tusclient import client

ask = json.loads(sys.argv[1])
tus = client.TusClient(ask["endpoint"], headers={"Authorization": "OAuth " + ask["token"]})
uploader = tus.uploader(
    ask["file"],
    url=ask.get("url"),
    chunk_size=ask["chunk_size"],
    metadata=ask.get("metadata"),
    upload_checksum=ask.get("checksum", False),
    retries=5,
    retry_delay=1,
)
uploader.upload(stop_at=ask.get("stop_at"))
print(json.dumps({"url": uploader.url, "offset": uploader.get_offset()}))
