"""What comes of ``tests/e2e/inside/flow.yaml``, wherever it runs: by test, words of its message."""

PASSED = ("becomes-paid", "many-at-once", "nothing-is-left")
FAILED = {
    "fails-and-cleans-up": "response.json.quantity is 2, 1 from 3: more than 0.5",
    "out-of-time-and-cleans-up": "the test's time (4 s) is over: not within 4s",
}
ERROR = {"cannot-clean-up": "teardown: step 1 of 1 (DELETE http://store:8080/orders/none)"}
