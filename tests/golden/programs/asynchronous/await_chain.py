import asyncio


async def price(item):
    await asyncio.sleep(0)
    return item["price"]


async def total(items):
    return sum([await price(item) for item in items])


asyncio.run(total([{"price": 1}, {"name": "pen"}]))
