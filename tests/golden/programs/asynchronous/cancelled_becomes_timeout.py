import asyncio


async def wait():
    try:
        raise asyncio.CancelledError
    except asyncio.CancelledError as error:
        raise TimeoutError("too late") from error


asyncio.run(wait())
