"""What oslo.utils says of image files. argv[1] is JSON: files. One line each: format, and why it is not safe."""
import json
import logging
import sys

from oslo_utils.imageutils import format_inspector

logging.disable(logging.CRITICAL)
for path in json.loads(sys.argv[1])["files"]:
    try:
        found = format_inspector.detect_file_format(path)
        said = {"format": str(found)}
        try:
            found.safety_check()
            said["size"] = found.virtual_size
        except format_inspector.SafetyCheckFailed as failed:
            said["refused"] = ", ".join(sorted(failed.failures))
        except Exception as failed:  # noqa: BLE001: whatever it does is what it says
            said["refused"] = type(failed).__name__
    except Exception as failed:  # noqa: BLE001
        said = {"format": "none", "refused": type(failed).__name__}
    print(json.dumps({"file": path, **said}), flush=True)
print(json.dumps({"done": True}), flush=True)
