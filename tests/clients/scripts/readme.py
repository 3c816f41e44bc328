# The example of the README for tuspy. argv[1] is JSON: code, session, folder (with the file that it sends).
import json
import os
import sys

ask = json.loads(sys.argv[1])
os.chdir(ask["folder"])
exec(ask["code"], {"session": ask["session"]})
print(json.dumps({"end": True}), flush=True)
