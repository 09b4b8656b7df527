"""Nobody asked the task for its result: the event loop's handler reports it."""

import asyncio
import gc


async def job(name):
    raise LookupError(f"no {name}")


async def main():
    task = asyncio.get_running_loop().create_task(job("queue"), name="cleaner")
    await asyncio.sleep(0)
    del task
    gc.collect()


asyncio.run(main())
