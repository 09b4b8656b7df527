import threading


def work(job):
    return job["handler"](job)


thread = threading.Thread(target=work, args=({"id": 7},), name="worker")
thread.start()
thread.join()
