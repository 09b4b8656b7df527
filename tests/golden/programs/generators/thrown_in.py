def worker():
    done = 0
    while True:
        try:
            yield done
        except ValueError as error:
            raise RuntimeError(f"stopped after {done}") from error
        done += 1


job = worker()
next(job)
next(job)
job.throw(ValueError("enough"))
