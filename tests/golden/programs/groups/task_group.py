# needs: Python 3.11
import asyncio


async def fetch(url):
    await asyncio.sleep(0)
    raise TimeoutError(f"{url} timed out")


async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(fetch("/a"), name="fetch a")


asyncio.run(main())
