import asyncio


async def load(n):
    await asyncio.sleep(0)
    return [0, 1][n]


async def main():
    return await asyncio.gather(load(0), load(1), load(2))


asyncio.run(main())
