import asyncio


async def rows():
    for n in (2, 1, 0):
        await asyncio.sleep(0)
        yield 6 // n


async def main():
    return [row async for row in rows()]


asyncio.run(main())
