"""The command line; see ``python3 -m localcluster --help``."""

import os
import sys
from localcluster.layout import ClusterFolder, cache_dir
from localcluster.progress import Progress
from localcluster import local

c = ClusterFolder(os.environ.get("CLUSTER_NAME", "seatrial"))
p = Progress(cache_dir() / "times.json")
if sys.argv[1] == "up":
    local.up(c, p); p.summary(); print(c.kubeconfig)
elif sys.argv[1] == "down":
    local.remove(c)
elif sys.argv[1] == "images":
    from localcluster import images
    print(images.load(c, p, images.present(p)))
